from __future__ import annotations

from pathlib import Path

import pytest

from portico.config.file import deep_merge, read_text, read_tree


def tree_of(tmp_path: Path, **files: str):
    for name, text in files.items():
        (tmp_path / f"{name}.json5").write_text(text)
    path = tmp_path / "main.json5"
    return read_tree(path, path.read_text())


def test_an_include_is_merged_below_its_siblings(tmp_path: Path) -> None:
    tree = tree_of(
        tmp_path,
        main='{gateway: {$include: ["./a.json5", "./b.json5"], port: 3}}',
        a="{port: 1, bind: 'lan', auth: {mode: 'token'}}",
        b="{bind: 'loopback', auth: {token: 't'}}",
    )
    assert tree.issues == []
    assert tree.merged == {
        "gateway": {"port": 3, "bind": "loopback", "auth": {"mode": "token", "token": "t"}}
    }
    assert "$include" in tree.parsed["gateway"]


def test_an_include_may_stand_for_a_list(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, main='{l: {$include: "a.json5"}}', a="[1, 2]")
    assert tree.merged == {"l": [1, 2]}


def test_included_values_are_located_in_their_own_file(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, main='{gateway: {$include: "a.json5"}}', a="{\n\n  port: 1}")
    found = tree.locate(("gateway", "port"))
    assert found is not None
    file, member = found
    assert file.path.name == "a.json5"
    assert file.lines.place(member.start) == (3, 9)
    assert tree.directory_of(("gateway", "port")) == tmp_path


@pytest.mark.parametrize(
    ("include", "code"),
    [
        ('"main.json5"', "include.cycle"),
        ('"none.json5"', "include.read"),
        ("5", "include.type"),
        ('["a", 1]', "include.type"),
    ],
)
def test_a_bad_include_is_reported_where_it_stands(tmp_path: Path, include: str, code: str) -> None:
    tree = tree_of(tmp_path, main="{\n a: {$include: " + include + "}}")
    (issue,) = tree.issues
    assert (issue.code, issue.line, issue.path) == (code, 2, "a.$include")


def test_includes_have_a_bounded_depth(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.json5").write_text(f'{{$include: "{number + 1}.json5"}}')
    tree = tree_of(tmp_path, main='{$include: "0.json5"}')
    assert [issue.code for issue in tree.issues] == ["include.depth"]


def test_a_syntax_error_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, main='{a: {$include: "a.json5"}}', a="{\n x: }")
    (issue,) = tree.issues
    assert issue.file is not None
    assert issue.file.endswith("a.json5")
    assert issue.line == 2


def test_a_file_that_holds_no_object_is_refused(tmp_path: Path) -> None:
    assert [i.message for i in tree_of(tmp_path, main="[1]").issues] == [
        "the file holds a list, not an object"
    ]
    assert "a number" in tree_of(tmp_path, main="5").issues[0].message


def test_an_empty_file_is_an_empty_object(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, main="  \n")
    assert (tree.merged, tree.issues) == ({}, [])


def test_a_byte_order_mark_is_no_matter_and_binary_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf{}")
    assert read_text(tmp_path / "a") == "{}"
    (tmp_path / "b").write_bytes(b"\xff{}")
    with pytest.raises(OSError, match="not UTF-8"):
        read_text(tmp_path / "b")


def test_merging_replaces_lists_and_merges_objects() -> None:
    assert deep_merge({"a": {"x": 1}, "l": [1]}, {"a": {"y": 2}, "l": [2]}) == {
        "a": {"x": 1, "y": 2},
        "l": [2],
    }
