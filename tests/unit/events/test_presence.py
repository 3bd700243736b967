from __future__ import annotations

from typing import Any

import pytest

from portico.events.presence import (
    MAX_ENTRIES,
    TTL_MS,
    Presence,
    PresenceEntry,
    StateVersion,
    client_text,
    gateway_entry,
)
from tests.fakes.clock import FakeClock


class Stage:
    """A presence table whose publications wait to be let out."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.version = StateVersion()
        self.due: list[Any] = []
        self.published: list[tuple[str, Any, Any]] = []
        self.table = Presence(
            hub_publish=lambda name, payload, *, state_version=None: self.published.append(
                (name, payload, state_version)
            ),
            clock=self.clock,
            state_version=self.version,
            self_entry=gateway_entry(
                host="box",
                ip="192.0.2.2",
                version="1.0",
                platform="linux",
                instance_id="i",
                now_ms=0,
            ),
            later=lambda _seconds, run: self.due.append(run),
        )

    def entry(self, **fields: Any) -> PresenceEntry:
        return PresenceEntry(ts=self.clock.now_ms(), **fields)

    def hosts(self) -> list[str | None]:
        return [entry.host for entry in self.table.list()]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_gateway_comes_first_then_the_newest(stage: Stage):
    stage.table.joined("a", stage.entry(host="a", mode="ui"))
    stage.table.joined("b", stage.entry(host="b", mode="ui"))
    assert stage.hosts() == ["box", "b", "a"]
    assert stage.table.list()[0].text == (
        "Gateway: box (192.0.2.2) · app 1.0 · mode gateway · reason self"
    )
    stage.table.update("a", text="typing", last_input_seconds=1)
    assert stage.hosts() == ["box", "a", "b"]


@pytest.mark.parametrize("mode", ["cli", "probe", "backend"])
def test_passers_by_are_not_shown(stage: Stage, mode):
    stage.table.joined("a", stage.entry(host="a", mode=mode))
    stage.table.left("a")
    assert stage.hosts() == ["box"]
    assert stage.due == []


def test_who_left_stays_for_five_minutes_and_who_is_here_stays(stage: Stage):
    stage.table.joined("here", stage.entry(host="here", mode="ui"))
    stage.table.joined("gone", stage.entry(host="gone", mode="ui"))
    stage.table.update("said", host="said")
    stage.table.left("gone")
    assert stage.table.list()[1].reason == "disconnect"
    stage.clock.advance(TTL_MS + 1)
    assert stage.hosts() == ["box", "here"]


def test_device_with_two_connections_is_here_until_both_end(stage: Stage):
    for _ in range(2):
        stage.table.joined("d", stage.entry(host="d", mode="node"))
    stage.table.left("d")
    assert stage.table.list()[1].reason is None
    stage.table.left("d")
    assert stage.table.list()[1].reason == "disconnect"
    stage.table.left("d")


def test_burst_is_published_once_with_the_last_version(stage: Stage):
    before = stage.version.presence
    for number in range(5):
        stage.table.joined(str(number), stage.entry(host=str(number), mode="ui"))
    (flush,) = stage.due
    flush()
    ((name, payload, version),) = stage.published
    assert name == "presence"
    assert len(payload["presence"]) == 6
    assert version == (before + 5, stage.version.health)
    stage.table.left("0")
    assert len(stage.due) == 2


def test_table_is_bounded(stage: Stage):
    for number in range(MAX_ENTRIES + 20):
        stage.table.joined(str(number), stage.entry(host=str(number), mode="ui"))
    assert len(stage.table.list()) == MAX_ENTRIES
    stage.table.left("0")  # its entry is gone already


def test_health_has_its_own_counter(stage: Stage):
    before = stage.version.pair
    assert stage.version.bump_health() == (before[0], before[1] + 1)


def test_one_line_about_somebody(stage: Stage):
    entry = stage.entry(host="phone", version="2", mode="node")
    assert client_text(entry) == "Node: phone · app 2 · mode node"
    assert client_text(stage.entry()) == "Node: unknown"
