from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from portico.config import ConfigError, ConfigPaths, load
from portico.config.edit import Change
from portico.config.issues import Issue, Severity
from portico.config.live import Commit, Decide, LiveConfig, changed_paths
from portico.config.service import LoadedConfig

from .conftest import Write

TEXT = """\
// mine
{
  gateway: { auth: { mode: "token", token: "0123456789abcdef0123456789abcdef" } },
  agents: {
    list: [
      { id: "main" }, // the first
    ],
  },
}
"""


class Roster:
    """A follower that keeps the ids of the agents."""

    def __init__(self, live: LiveConfig, *sections: str) -> None:
        self.ids: list[str] = []
        self.staged = 0
        self.refuses = False
        live.follow(*sections, stage=self.stage)

    def stage(self, new: LoadedConfig) -> Commit:
        self.staged += 1
        if self.refuses:
            raise ConfigError([Issue(Severity.ERROR, "agents", "cannot be had")])
        ids = [entry.id for entry in new.require().agents.roster()]

        def commit() -> None:
            self.ids = ids

        return commit


def adding(agent_id: str) -> Decide:
    def decide(loaded: LoadedConfig) -> Sequence[Change]:
        place = len(loaded.source["agents"]["list"])
        return [Change(("agents", "list", place), {"id": agent_id})]

    return decide


@pytest.fixture
def paths(write: Write) -> ConfigPaths:
    return write(TEXT)


@pytest.fixture
def live(paths: ConfigPaths, env: dict[str, str]) -> LiveConfig:
    return LiveConfig(load(paths, env=env), env=env)


async def test_an_edit_changes_the_file_and_who_follows_it(
    live: LiveConfig, paths: ConfigPaths, env: dict[str, str]
) -> None:
    roster, other = Roster(live, "agents", "bindings"), Roster(live, "models")
    heard: list[str | None] = []
    live.listen(lambda loaded: heard.append(loaded.hash))
    before = live.applied_hash
    loaded = await live.edit(adding("ops"))
    assert roster.ids == ["main", "ops"]
    assert other.staged == 0
    text = paths.config_file.read_text()
    assert text.startswith("// mine")
    assert "// the first" in text
    assert loaded.hash == load(paths, env=env).hash
    assert heard == [loaded.hash]
    assert live.applied_hash == loaded.revision_hash != before
    assert paths.last_good.read_text() == text
    assert paths.config_file.with_name("portico.json.bak").read_text() == TEXT


async def test_what_a_follower_refuses_is_not_written(live: LiveConfig, paths: ConfigPaths) -> None:
    first, second = Roster(live, "agents"), Roster(live, "agents")
    second.refuses = True
    with pytest.raises(ConfigError, match="cannot be had"):
        await live.edit(adding("ops"))
    assert paths.config_file.read_text() == TEXT
    assert first.ids == []
    assert live.applied_hash == live.loaded.revision_hash


async def test_a_result_that_is_not_valid_is_refused(live: LiveConfig, paths: ConfigPaths) -> None:
    roster = Roster(live, "agents")
    with pytest.raises(ConfigError, match="unique"):
        await live.edit(adding("main"))
    assert paths.config_file.read_text() == TEXT
    assert roster.staged == 0


async def test_a_broken_file_is_left_alone(live: LiveConfig, paths: ConfigPaths) -> None:
    broken = TEXT.replace("list: [", "list: [[{")
    paths.config_file.write_text(broken)
    with pytest.raises(ConfigError, match="JSON5"):
        await live.edit(adding("ops"))
    assert paths.config_file.read_text() == broken


async def test_edits_at_the_same_time_all_count(live: LiveConfig, paths: ConfigPaths) -> None:
    roster = Roster(live, "agents")
    await asyncio.gather(*(live.edit(adding(f"a{n}")) for n in range(5)))
    assert sorted(roster.ids) == ["a0", "a1", "a2", "a3", "a4", "main"]
    assert paths.config_file.read_text().count("id: ") == len(roster.ids)


async def test_somebody_elses_edit_in_between_is_kept(live: LiveConfig, paths: ConfigPaths) -> None:
    roster = Roster(live, "agents")
    edited = TEXT.replace('{ id: "main" }', '{ id: "main" }, { id: "theirs" }')
    asked = 0

    def decide(loaded: LoadedConfig) -> Sequence[Change]:
        nonlocal asked
        asked += 1
        changes = adding("ours")(loaded)
        if asked == 1:
            paths.config_file.write_text(edited)
        return list(changes)

    await live.edit(decide)
    assert asked == 2
    assert roster.ids == ["main", "theirs", "ours"]


async def test_an_edit_that_never_gets_its_turn_gives_up(
    live: LiveConfig, paths: ConfigPaths
) -> None:
    asked = 0

    def decide(_: LoadedConfig) -> Sequence[Change]:
        nonlocal asked
        asked += 1
        paths.config_file.write_text(f"{TEXT}// {asked}\n")
        return [Change(("agents", "list", 0, "name"), "A")]

    with pytest.raises(ConfigError, match="by somebody else"):
        await live.edit(decide)
    assert "name" not in paths.config_file.read_text()


async def test_what_nobody_follows_waits_for_a_restart(
    live: LiveConfig, paths: ConfigPaths
) -> None:
    roster = Roster(live, "agents")
    before = live.applied_hash
    paths.config_file.write_text(TEXT.replace("auth:", "port: 1234, auth:"))
    loaded = await live.edit(adding("ops"))
    assert roster.ids == ["main", "ops"]
    assert live.applied_hash == before != loaded.revision_hash
    await live.edit(lambda _: [Change.removal("gateway", "port")])
    assert live.applied_hash == live.loaded.revision_hash


async def test_an_edit_goes_on_when_nobody_waits_for_it(
    live: LiveConfig, paths: ConfigPaths
) -> None:
    roster = Roster(live, "agents")
    waiting = asyncio.get_running_loop().create_task(live.edit(adding("ops")))
    await asyncio.sleep(0)
    waiting.cancel()
    await live.edit(adding("second"))
    assert roster.ids == ["main", "ops", "second"]


async def test_the_command_lines_settings_stay_in_force(
    paths: ConfigPaths, env: dict[str, str]
) -> None:
    live = LiveConfig(load(paths, env=env, overrides={"gateway.port": 4321}), env=env)
    Roster(live, "agents")
    loaded = await live.edit(adding("ops"))
    assert loaded.require().gateway.port == 4321
    assert live.applied_hash == loaded.revision_hash
    assert "4321" not in paths.config_file.read_text()


@pytest.mark.parametrize(
    ("overrides", "more"), [({"gateway.port": 4321}, {}), ({}, {"PORTICO_GATEWAY_PORT": "4321"})]
)
async def test_what_the_command_line_hides_must_be_right_too(
    paths: ConfigPaths, env: dict[str, str], overrides: dict[str, Any], more: dict[str, str]
) -> None:
    env = env | more
    live = LiveConfig(load(paths, env=env, overrides=overrides), env=env)
    with pytest.raises(ConfigError, match=r"gateway\.port"):
        await live.edit(lambda _loaded: [Change(("gateway", "port"), "x")])
    assert paths.config_file.read_text() == TEXT


def test_differences_are_named_by_their_path() -> None:
    before = {"a": {"b": 1, "c": [1]}, "gone": 1}
    after = {"a": {"b": 2, "c": [1, 2]}, "new": {"d": 1}}
    assert changed_paths(before, after) == {("a", "b"), ("a", "c"), ("gone",), ("new", "d")}


def test_a_number_that_is_none_is_the_same_as_before() -> None:
    one, two = ({"a": float("nan"), "b": [float("nan")]} for _ in range(2))
    assert changed_paths(one, two) == set()
    assert changed_paths(one, {"a": 1, "b": []}) == {("a",), ("b",)}
