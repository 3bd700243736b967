from __future__ import annotations

import pytest

from portico.config.text import Lines, TextError, find_member, outline, read_json5, syntax_issue

TEXT = """\
// settings é
{
  gateway: { port: 18789, 'bind': "loopback", /* x */ },
  list: [1, -2, { a: "over \\
two lines", b: null }],
}
"""


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{\n  a: 1,\n  @: 2\n}", (3, 3)),
        ("{a: 1,,}", (1, 6)),
        ("{a: tru}", (1, 5)),
        ("{a: 1} x", (1, 8)),
    ],
)
def test_a_syntax_error_names_its_line(text: str, place: tuple[int, int]) -> None:
    with pytest.raises(TextError) as caught:
        read_json5(text)
    issue = syntax_issue(caught.value, text, "f.json")
    assert issue.line == place[0]
    assert issue.column is not None
    assert abs(issue.column - place[1]) <= 3
    assert "b'" not in issue.message
    assert "U+00" not in issue.message
    assert issue.code == "json5.syntax"


def test_an_unclosed_object_is_an_error() -> None:
    with pytest.raises(TextError):
        read_json5("{a: 1")


def test_every_value_is_found_where_it_stands() -> None:
    root = outline(TEXT)
    assert root is not None
    cases: list[tuple[tuple[str | int, ...], str]] = [
        (("gateway", "port"), "18789"),
        (("gateway", "bind"), '"loopback"'),
        (("list", 1), "-2"),
        (("list", "2", "b"), "null"),
        (("list", 2, "a"), '"over \\\ntwo lines"'),
    ]
    for path, written in cases:
        member, rest = find_member(root, path)
        assert rest == ()
        assert TEXT[member.start : member.end] == written


def test_the_nearest_ancestor_stands_in_for_what_is_missing() -> None:
    root = outline(TEXT)
    assert root is not None
    member, rest = find_member(root, ("gateway", "auth", "token"))
    assert member.key == "gateway"
    assert rest == ("auth", "token")


def test_the_last_of_repeated_keys_counts() -> None:
    root = outline("{a: 1, a: 2}")
    assert root is not None
    member, _ = find_member(root, ("a",))
    assert member.start == 10


def test_broken_text_has_no_outline() -> None:
    assert outline("{a: ") is None


def test_places_count_from_one() -> None:
    lines = Lines.of("ab\nc\n")
    assert [lines.place(offset) for offset in (0, 1, 3, 5)] == [(1, 1), (1, 2), (2, 1), (3, 1)]
