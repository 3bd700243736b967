from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portico.config.keypath import set_at
from portico.config.splice import SpliceError, render, set_in_text, unset_in_text
from portico.config.text import read_json5

TEXT = """\
// head
{
  // the door
  gateway: {
    port: 18789, // TCP
    bind: "loopback" /* only here */
  },
  list: [1, 2],
  one: { a: 1 },
  empty: {},
}
// foot
"""


def test_replacing_a_value_touches_nothing_else() -> None:
    assert set_in_text(TEXT, ("gateway", "port"), 1) == TEXT.replace("18789", "1")


def test_a_new_key_comes_last_and_comments_stay() -> None:
    changed = set_in_text(TEXT, ("gateway", "auth", "mode"), "none")
    assert (
        '    bind: "loopback", /* only here */\n    auth: {\n      mode: "none",\n    }\n  },'
        in changed
    )
    assert "// TCP" in changed


def test_one_line_stays_one_line() -> None:
    assert "one: { a: 1, b: 2 }," in set_in_text(TEXT, ("one", "b"), 2)
    assert "list: [1, 2, 3]," in set_in_text(TEXT, ("list", 2), 3)
    assert "empty: {\n    x: 1,\n  }," in set_in_text(TEXT, ("empty", "x"), 1)


def test_a_trailing_comma_is_continued() -> None:
    assert set_in_text("{\n  a: 1,\n}", ("b",), 2) == "{\n  a: 1,\n  b: 2,\n}"


def test_a_comment_behind_the_last_value_keeps_its_line() -> None:
    assert set_in_text("{\n  a: 1 // one\n}", ("b",), 2) == "{\n  a: 1, // one\n  b: 2\n}"


def test_quoted_keys_stay_quoted() -> None:
    assert set_in_text('{"a": 1}', ("b",), {"c": 2}) == '{"a": 1, "b": {\n  "c": 2,\n}}'
    assert set_in_text("{a: 1}", ("b.c",), 2) == '{a: 1, "b.c": 2}'


@pytest.mark.parametrize("text", ["", "\n", "// only a comment", "// c\n\n"])
def test_a_text_without_an_object_gets_one(text: str) -> None:
    changed = set_in_text(text, ("a",), 1)
    assert read_json5(changed) == {"a": 1}
    assert changed.startswith(text)


def test_removing_takes_the_line_and_its_comment() -> None:
    changed = unset_in_text(TEXT, ("gateway", "port"))
    assert changed == TEXT.replace("    port: 18789, // TCP\n", "")
    changed = unset_in_text(TEXT, ("gateway", "bind"))
    assert read_json5(changed)["gateway"] == {"port": 18789}
    assert "// TCP" in changed


def test_removing_within_a_line_leaves_the_rest() -> None:
    assert unset_in_text("{a: 1, b: 2, c: 3}", ("b",)) == "{a: 1, c: 3}"
    assert read_json5(unset_in_text("{a: 1, b: 2}", ("b",))) == {"a": 1}
    assert unset_in_text("[1, 2, 3]", (1,)) == "[1, 3]"
    assert unset_in_text(TEXT, ("none", "x")) == TEXT


def test_repeated_keys_all_go() -> None:
    assert read_json5(unset_in_text("{a: 1, b: 2, a: 3}", ("a",))) == {"b": 2}


@pytest.mark.parametrize(
    "path", [("gateway", "port", "x"), ("list", 5), ("list", "x"), ("new", 3, 1)]
)
def test_a_path_that_leads_nowhere_is_refused(path: tuple[str | int, ...]) -> None:
    with pytest.raises(SpliceError):
        set_in_text(TEXT, path, 1)


def test_broken_text_is_not_edited() -> None:
    with pytest.raises(SpliceError):
        set_in_text("{a: ", ("a",), 1)


KEYS = st.one_of(
    st.sampled_from(["a", "b", "port", "a b", "null", "é", "x.y", "0", "$include_", "", "//", "'"]),
    st.text(max_size=4),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, width=32),
    st.text(max_size=6),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
TREES = st.dictionaries(KEYS, VALUES, max_size=4)


def commented(tree: dict[str, Any], style: int) -> str:
    """The tree as text in one of several hands, with comments wherever they may stand."""
    if style == 0:
        return json.dumps(tree)
    if style == 1:
        return "// head\n" + json.dumps(tree, indent=4, ensure_ascii=False) + "\n/* foot */"
    if style == 2:
        return "// head\n" + render(tree, "", quoted=False) + " // foot\n"
    lines = json.dumps(tree, indent=1).split("\n")
    return "\n".join(f"{line} // {number} }}, {{" for number, line in enumerate(lines)) + "\n"


def paths_in(tree: Any, base: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    pairs: Any = ()
    if isinstance(tree, dict):
        pairs = tree.items()
    elif isinstance(tree, list):
        pairs = enumerate(tree)
    found = [base] if base else []
    for step, value in pairs:
        found += paths_in(value, (*base, step))
    return found


def comments_of(text: str) -> list[str]:
    return re.findall(r"// \d+ }, {", text)


@settings(max_examples=50, deadline=None)
@given(TREES, st.integers(0, 3), st.data(), VALUES)
def test_setting_reads_back_as_exactly_that_change(
    tree: dict[str, Any], style: int, data: st.DataObject, value: Any
) -> None:
    text = commented(tree, style)
    existing = paths_in(tree)
    path = data.draw(st.one_of(*([st.sampled_from(existing)] if existing else []), st.tuples(KEYS)))
    expected = copy.deepcopy(tree)
    set_at(expected, path, value)
    changed = set_in_text(text, path, value)
    assert repr(read_json5(changed)) == repr(expected)
    if len(path) == 1 and path[0] not in tree:
        assert comments_of(changed) == comments_of(text)
        assert repr(read_json5(unset_in_text(changed, path))) == repr(tree)


@settings(max_examples=50, deadline=None)
@given(TREES, st.integers(0, 3), st.data())
def test_unsetting_reads_back_as_exactly_that_change(
    tree: dict[str, Any], style: int, data: st.DataObject
) -> None:
    text = commented(tree, style)
    existing = paths_in(tree)
    if not existing:
        return
    path = data.draw(st.sampled_from(existing))
    expected: Any = copy.deepcopy(tree)
    parent = expected
    for step in path[:-1]:
        parent = parent[step]
    del parent[path[-1]]
    assert repr(read_json5(unset_in_text(text, path))) == repr(expected)


def test_odd_numbers_and_texts_are_written_as_json5() -> None:
    values = [float("inf"), float("-inf"), "\u2028", "\x7f😀", -0.5]
    text = render(values, "", quoted=False)
    assert read_json5(text) == values
    assert render(float("nan"), "", quoted=False) == "NaN"
