"""Where in the file an agent or a binding goes, comes from, and cannot be touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyjson5
import pytest

from portico.agents.entries import (
    AlreadyThere,
    CannotRemove,
    NoSuchAgent,
    Settings,
    adding,
    binding,
    changing,
    removing,
    unbinding,
)
from portico.config import ConfigError, ConfigPaths, resolve_paths
from portico.config.edit import Change, prepare
from portico.config.service import LoadedConfig

LISTED = """\
{ // top
  agents: {
    defaults: { runtime: "echo" },
    list: [
      { id: "main", name: "Main" }, // first
      { id: "Ops Team", identity: { name: "Ops", emoji: "x" }, model: { primary: "a/b" } },
    ],
  },
  bindings: [
    { agentId: "main", match: { channel: "x" } },
    { agentId: "ops-team", match: { channel: "y" } }, // theirs
    { agentId: "ops team", match: { channel: "z" } },
  ],
}
"""
MAPPED = "{ agents: { entries: { main: {}, ops: { name: 'Ops' } } } }"


@pytest.fixture
def paths(tmp_path: Path) -> ConfigPaths:
    return resolve_paths(env={}, state_dir=tmp_path)


@pytest.fixture
def edited(paths: ConfigPaths) -> Callable[[str, Callable[[LoadedConfig], Sequence[Change]]], Any]:
    def edit(text: str, decide: Callable[[LoadedConfig], Sequence[Change]]) -> Any:
        paths.config_file.write_text(text)
        prepared = prepare(paths, decide, env={})
        edit.text = prepared.text  # type: ignore[attr-defined]
        return pyjson5.decode(prepared.text)

    return edit


Edit = Callable[[str, Callable[[LoadedConfig], Sequence[Change]]], Any]


def test_the_first_agent_of_a_file_leaves_main_in_charge(edited: Edit) -> None:
    tree = edited("{}", lambda loaded: adding(loaded, "ops", Settings({"identity.emoji": "x"})))
    assert tree["agents"]["list"] == [
        {"id": "main", "default": True},
        {"id": "ops", "identity": {"emoji": "x"}},
    ]


def test_an_agent_is_added_where_the_others_are(edited: Edit) -> None:
    listed = edited(LISTED, lambda loaded: adding(loaded, "new", Settings({"name": "New"})))
    assert [one["id"] for one in listed["agents"]["list"]] == ["main", "Ops Team", "new"]
    mapped = edited(MAPPED, lambda loaded: adding(loaded, "new", Settings({"name": "New"})))
    assert mapped["agents"]["entries"]["new"] == {"name": "New"}
    with pytest.raises(AlreadyThere):
        edited(LISTED, lambda loaded: adding(loaded, "ops-team", Settings()))


def test_an_agent_with_a_model_thinks_although_others_echo(edited: Edit) -> None:
    tree = edited(LISTED, lambda loaded: adding(loaded, "new", Settings({"model": "a/b"})))
    assert tree["agents"]["list"][2] == {"id": "new", "model": "a/b", "runtime": "model"}
    tree = edited(MAPPED, lambda loaded: adding(loaded, "new", Settings({"model": "a/b"})))
    assert tree["agents"]["entries"]["new"] == {"model": "a/b"}


def test_values_are_set_and_taken_away_in_place(edited: Edit) -> None:
    changes = Settings({"name": "Crew", "model": "c/d"}, ("identity.emoji", "identity.avatar"))
    tree = edited(LISTED, lambda loaded: changing(loaded, "ops-team", changes))
    assert tree["agents"]["list"][1] == {
        "id": "Ops Team",
        "name": "Crew",
        "identity": {"name": "Crew"},
        "model": {"primary": "c/d"},
        "runtime": "model",
    }
    assert "// first" in edited.text  # type: ignore[attr-defined]
    with pytest.raises(NoSuchAgent):
        edited(LISTED, lambda loaded: changing(loaded, "nobody", Settings()))


def test_taking_the_model_away_takes_what_came_with_it(edited: Edit) -> None:
    text = '{agents: {list: [{id: "main", model: "a/b", runtime: "model"}]}}'
    tree = edited(text, lambda loaded: changing(loaded, "main", Settings({}, ("model",))))
    assert tree["agents"]["list"] == [{"id": "main"}]


def test_main_is_written_when_it_is_first_changed(edited: Edit) -> None:
    tree = edited("{}", lambda loaded: changing(loaded, "main", Settings({"name": "M"})))
    assert tree["agents"]["list"] == [{"id": "main", "default": True, "name": "M"}]


def test_another_default_agent_moves_nobodys_directory(edited: Edit) -> None:
    text = (
        '{agents: {defaults: {workspace: "/w"}, '
        'list: [{id: "a", default: true}, {id: "b"}, {id: "c", workspace: "/c"}]}}'
    )
    tree = edited(text, lambda loaded: changing(loaded, "b", Settings({"default": True})))
    assert tree["agents"]["list"] == [
        {"id": "a", "workspace": "/w"},
        {"id": "b", "workspace": "/w/b", "default": True},
        {"id": "c", "workspace": "/c"},
    ]


def test_an_agent_leaves_with_its_bindings(edited: Edit) -> None:
    counted: list[int] = []

    def decide(loaded: LoadedConfig) -> Sequence[Change]:
        removal = removing(loaded, "ops-team")
        counted.append(removal.bindings)
        return removal.changes

    tree = edited(LISTED, decide)
    assert counted == [2]
    assert [one["id"] for one in tree["agents"]["list"]] == ["main"]
    assert tree["bindings"] == [{"agentId": "main", "match": {"channel": "x"}}]
    mapped = edited(MAPPED, lambda loaded: removing(loaded, "ops").changes)
    assert mapped["agents"]["entries"] == {"main": {}}


def test_who_has_to_stay(edited: Edit) -> None:
    with pytest.raises(CannotRemove, match="only configured agent"):
        edited("{}", lambda loaded: removing(loaded, "main").changes)
    with pytest.raises(CannotRemove, match="default agent"):
        edited(LISTED, lambda loaded: removing(loaded, "main").changes)
    with pytest.raises(NoSuchAgent):
        edited(LISTED, lambda loaded: removing(loaded, "nobody").changes)


def test_bindings_come_and_go(edited: Edit) -> None:
    more = [{"agentId": "main", "match": {"channel": "a"}}]
    tree = edited(LISTED, lambda loaded: binding(loaded, more))
    assert tree["bindings"][3] == more[0]
    assert "// theirs" in edited.text  # type: ignore[attr-defined]
    tree = edited(LISTED, lambda loaded: unbinding(loaded, [0, 2]))
    assert [one["match"]["channel"] for one in tree["bindings"]] == ["y"]
    tree = edited("{}", lambda loaded: binding(loaded, more))
    assert tree["bindings"] == more


@pytest.mark.parametrize("text", ['{agents: {$include: "a.json5"}}', '{$include: "b.json5"}'])
def test_what_another_file_holds_is_refused(paths: ConfigPaths, text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json5").write_text('{list: [{id: "x"}, {id: "ops"}]}')
    (tmp_path / "b.json5").write_text("{agents: {entries: {x: {}, ops: {}}}}")
    paths.config_file.write_text(text)
    for decide in (
        lambda loaded: adding(loaded, "new", Settings()),
        lambda loaded: changing(loaded, "ops", Settings({"name": "n"})),
        lambda loaded: removing(loaded, "ops").changes,
    ):
        with pytest.raises(ConfigError, match="included file"):
            prepare(paths, decide, env={})


@pytest.mark.parametrize(
    "entry", ['{ $include: "one.json5" }', '{ id: "${OPS}" }', '{ id: "OPS ", name: "x" }']
)
def test_an_agent_is_found_whatever_its_id_is_made_of(
    paths: ConfigPaths, entry: str, tmp_path: Path
) -> None:
    (tmp_path / "one.json5").write_text('{id: "ops", name: "included"}')
    text = f'{{agents: {{list: [{{id: "x"}}, {entry}, {{id: "${{X}}"}}]}}}}'
    env = {"OPS": "ops", "X": "last"}
    paths.config_file.write_text(text)
    named = prepare(paths, lambda it: changing(it, "ops", Settings({"name": "n"})), env=env)
    entries = {one.id: one.name for one in named.loaded.require().agents.roster()}
    assert entries == {"x": None, "ops": "n", "last": None}
    gone = prepare(paths, lambda it: removing(it, "last").changes, env=env)
    assert [one.id for one in gone.loaded.require().agents.roster()] == ["x", "ops"]


def test_bindings_of_another_file_are_refused(paths: ConfigPaths, tmp_path: Path) -> None:
    (tmp_path / "b.json5").write_text('[{agentId: "main", match: {channel: "x"}}]')
    paths.config_file.write_text('{bindings: {$include: "b.json5"}}')
    for decide in (
        lambda loaded: binding(loaded, [{"agentId": "main", "match": {"channel": "y"}}]),
        lambda loaded: unbinding(loaded, [0]),
    ):
        with pytest.raises(ConfigError, match="included file"):
            prepare(paths, decide, env={})
