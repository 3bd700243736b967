from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.config.keypath import format_path, get_at, get_value, parse_path, set_at


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("gateway.port", ("gateway", "port")),
        ("agents.list[0].id", ("agents", "list", 0, "id")),
        ("agents.list.0.id", ("agents", "list", "0", "id")),
        ('channels["a.b"].x', ("channels", "a.b", "x")),
        ("$schema", ("$schema",)),
    ],
)
def test_written_paths_are_split(text: str, path: tuple[str | int, ...]) -> None:
    assert parse_path(text) == path


@pytest.mark.parametrize("text", ["", " ", "a..b", ".a", "a.", "a[", "a[x]", "a b", "a]b"])
def test_what_is_not_a_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_path(text)


@given(st.lists(st.one_of(st.text(), st.integers(0, 99)), min_size=1).map(tuple))
def test_every_path_survives_being_written(path: tuple[str | int, ...]) -> None:
    assert parse_path(format_path(path)) == path


def test_a_value_is_found_through_objects_and_lists() -> None:
    tree = {"agents": {"list": [{"id": "a"}]}}
    assert get_value(tree, "agents.list[0].id") == "a"
    assert get_value(tree, "agents.list.0.id") == "a"
    for missing in ("agents.list[1]", "agents.none", "agents.list[0].id.x"):
        with pytest.raises(KeyError):
            get_value(tree, missing)


def test_setting_makes_the_containers_on_the_way() -> None:
    tree: dict[str, Any] = {}
    set_at(tree, ("a", "b"), 1)
    set_at(tree, ("l", 0, "id"), "x")
    set_at(tree, ("l", "1", "id"), "y")
    set_at(tree, ("l", 0), "z")
    assert tree == {"a": {"b": 1}, "l": ["z", {"id": "y"}]}


@pytest.mark.parametrize("path", [("s", "x"), ("l", 3), ("l", "x"), ("s", "x", "y"), ("l", 2, "x")])
def test_setting_below_a_scalar_or_past_a_list_is_refused(path: tuple[str | int, ...]) -> None:
    with pytest.raises(KeyError):
        set_at({"s": 1, "l": []}, path, 1)


def test_an_empty_path_is_the_whole() -> None:
    assert get_at(5, ()) == 5
