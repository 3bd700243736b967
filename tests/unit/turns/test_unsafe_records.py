"""The record that a tool is about to act: while the database is away, after the lease was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from portico.agents.runtime import AgentEvent, Final, TextDelta, ToolFinished, ToolStarted, Turn
from portico.store import Store
from portico.turns.model import TurnLimits
from tests.support.path import Path, Puppet, replace_write
from tests.support.waiting import eventually


class Away(Exception):
    """The connection to the database was lost."""


class Payer:
    """Pays once in each run."""

    name = "payer"
    abilities = Puppet().abilities

    def __init__(self) -> None:
        self.paid: list[str] = []

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        yield ToolStarted("t1", "pay", {})
        self.paid.append(turn.run_id)
        yield ToolFinished("t1", "pay", "done")
        yield TextDelta("paid")
        yield Final()


class Broken:
    """Breaks a store exactly where a tool call is recorded, so many times."""

    def __init__(self, store: Store, times: int, *, after_commit: bool = False) -> None:
        self._write = store.write
        self._times = times
        self._after_commit = after_commit
        self.failed = 0
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()
        replace_write(store, self.write)

    async def write(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        if work.__qualname__ != "mark_unsafe":
            return await self._write(work, *args, **kwargs)
        self.reached.set()
        await self.go.wait()
        if self.failed == self._times:
            return await self._write(work, *args, **kwargs)
        self.failed += 1
        if self._after_commit:
            await self._write(work, *args, **kwargs)
        raise Away


def troubles(logs: list[Any]) -> list[str]:
    return [entry["event"] for entry in logs if entry["log_level"] == "error"]


@pytest.mark.parametrize("after_commit", [False, True])
async def test_it_is_written_again_until_the_database_is_back(
    store: Store, after_commit: bool
) -> None:
    payer = Payer()
    async with Path(store, runtime=payer) as path:
        broken = Broken(store, 3, after_commit=after_commit)
        with capture_logs() as logs:
            await path.say("a")
            row = await path.ended("a")
        assert (broken.failed, payer.paid) == (3, ["a"])
        assert row.result is not None
        assert (row.state, row.result.text) == ("succeeded", "paid")
        kept = await path.turns.find("a")
        assert kept is not None
        assert kept.unsafe
        assert troubles(logs) == []
        assert [e["what"] for e in logs if e["event"] == "turn.write_delayed"] == 3 * [
            "a tool call"
        ]


async def test_a_tool_that_cannot_be_recorded_does_not_act_and_the_turn_begins_again(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portico.store.patience.FIRST_RETRY_S", 0.001)
    payer = Payer()
    limits = TurnLimits(lease_s=0.005, live_text_ms=5)
    async with Path(sqlite_store, runtime=payer, limits=limits) as path:
        broken = Broken(sqlite_store, 10**6)
        await path.say("a")
        await eventually(lambda: path.turns.running == 0)
        assert (payer.paid, await path.state("a")) == ([], "running")
        assert path.events.final("a") is None
        broken._times = broken.failed
        await path.sweep()
        row = await path.ended("a")
        assert (row.state, row.attempts, payer.paid) == ("succeeded", 2, ["a"])
        assert path.events.states("a")[-1] == "final"


async def test_a_paused_owner_whose_lease_was_taken_is_quiet(store: Store) -> None:
    """One is paused at the record, its connection is cut, Two takes over; One wakes up."""
    payer = Payer()
    async with (
        Path(store, owner="one", alone=False, runtime=payer) as one,
        Path(store, owner="two", alone=False, clock=one.clock) as two,
    ):
        broken = Broken(store, 1)
        broken.go.clear()
        await one.say("a")
        await broken.reached.wait()
        one.clock.advance(31)
        await two.sweep()
        await two.begun("a", attempt=2)
        with capture_logs() as logs:
            broken.go.set()
            await eventually(lambda: one.turns.running == 0)
        assert broken.failed == 1
        assert payer.paid == []
        assert troubles(logs) == []
        assert [e["event"] for e in logs if e["event"].startswith("turn.")] == [
            "turn.write_delayed",
            "turn.superseded",
        ]
        assert one.events.final("a") is None
        two.puppet.finish("a", "alive")
        assert (await two.ended("a")).state == "succeeded"
        assert await two.transcript() == [("user", "a"), ("assistant", "alive")]
        assert one.failures == two.failures == []


async def test_a_cancel_does_not_wait_for_the_database(sqlite_store: Store) -> None:
    payer = Payer()
    async with Path(sqlite_store, runtime=payer) as path:
        broken = Broken(sqlite_store, 10**6)
        await path.say("a")
        await eventually(lambda: broken.failed)
        assert await path.turns.cancel("a", "rpc")
        assert ((await path.ended("a")).state, payer.paid) == ("cancelled", [])
