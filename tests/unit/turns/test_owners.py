"""Owners come and go: crash, resume, rescue, drain, and the zombie that wakes up too late."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from portico.agents.runtime import Final, TextDelta, ToolFinished, ToolStarted
from portico.store import Store
from portico.turns import store as turn_store
from portico.turns.life import MAX_ATTEMPTS
from portico.turns.sweep import INTERRUPTED
from tests.support.path import Path, Puppet
from tests.support.waiting import eventually, loop_turns


async def test_a_crashed_run_begins_again(store: Store) -> None:
    first = await Path(store, owner="one").start()
    await first.say("a", "hello")
    await first.say("b")
    await first.begun("a")
    first.puppet.tell("a", TextDelta("never seen"))
    await first.settled()
    await first.crash()
    assert await first.state("a") == "running"
    async with Path(store, owner="two", clock=first.clock) as second:
        turn = await second.begun("a", attempt=2)
        assert await turn.history(10) == []  # its own message is not history
        second.puppet.finish("a", "back")
        row = await second.ended("a")
        assert (row.state, row.attempts, row.fence) == ("succeeded", 2, 2)
        second.puppet.finish("b")
        await second.ended("b")
        assert await second.transcript() == [
            ("user", "hello"),
            ("assistant", "back"),
            ("user", "b"),
            ("assistant", "done"),
        ]


async def test_a_run_that_acted_is_not_begun_again(store: Store) -> None:
    first = await Path(store, owner="one").start()
    await first.say("a")
    await first.say("b")
    first.puppet.tell("a", ToolStarted("t1", "pay", {}))
    await eventually(lambda: _unsafe(first))
    await first.crash()
    async with Path(store, owner="two", clock=first.clock) as second:
        row = await second.ended("a")
        assert row.state == "interrupted"
        await second.begun("b")
        assert await second.transcript() == [("user", "a"), ("assistant", ""), ("user", "b")]
        end = second.events.final("a")
        assert end is not None
        assert (end["state"], end["errorMessage"]) == ("error", INTERRUPTED)
        assert second.seen.entries[0].meta["errorMessage"] == INTERRUPTED
        assert len(second.runtimes.held) == 1  # for "b": what will not run keeps no runtime open


async def _unsafe(path: Path) -> bool:
    row = await path.turns.find("a")
    return row is not None and row.unsafe


async def test_a_tool_without_side_effects_changes_nothing(sqlite_store: Store) -> None:
    first = await Path(sqlite_store, owner="one").start()
    await first.say("a")
    first.puppet.tell("a", ToolStarted("t1", "look", {}, side_effects=False))
    first.puppet.tell("a", ToolFinished("t1", "look", "x"), TextDelta("x"))
    await eventually(lambda: "delta" in first.events.states("a"))
    await first.crash()
    async with Path(sqlite_store, owner="two", clock=first.clock) as second:
        await second.begun("a", attempt=2)


async def test_a_runtime_that_cannot_resume(sqlite_store: Store) -> None:
    first = await Path(sqlite_store, owner="one").start()
    await first.say("a")
    await first.begun("a")
    await first.crash()
    runtime = Puppet(resumable=False)
    async with Path(sqlite_store, owner="two", clock=first.clock, runtime=runtime) as second:
        assert (await second.ended("a")).state == "interrupted"


async def test_a_run_that_kills_its_owner_again_and_again_is_given_up(store: Store) -> None:
    path = Path(store, owner="owner-0")
    clock = path.clock
    await path.start()
    await path.say("a")
    await path.say("b")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        await path.begun("a", attempt=attempt)
        await path.crash()
        path = await Path(store, owner=f"owner-{attempt}", clock=clock).start()
    assert (await path.ended("a")).state == "interrupted"
    await path.begun("b")
    await path.crash()


async def test_a_cancelled_run_whose_owner_died_is_cancelled(store: Store) -> None:
    first = await Path(store, owner="one").start()
    await first.say("a")
    await first.begun("a")
    await store.write(turn_store.ask_cancel, "a", "rpc")
    await first.crash()
    async with Path(store, owner="two", clock=first.clock) as second:
        row = await second.ended("a")
        assert row.result is not None
        assert (row.state, row.result.stop_reason) == ("cancelled", "rpc")
        assert await second.transcript() == [("user", "a")]


async def test_what_was_steered_into_a_crashed_run_is_not_lost(store: Store) -> None:
    first = await Path(store, owner="one").start()
    await first.say("a")
    await first.begun("a")
    await first.say("b", mode="steer")
    first.puppet.tell("a", "steer")
    await eventually(lambda: first.puppet.steered)
    await first.crash()
    async with Path(store, owner="two", clock=first.clock) as second:
        await second.begun("a", attempt=2)
        second.puppet.tell("a", "steer")
        await eventually(lambda: second.puppet.steered)
        assert second.puppet.steered[0].text == "b"
        second.puppet.finish("a", "both")
        await second.ended("a")
        assert await second.transcript() == [("user", "a"), ("user", "b"), ("assistant", "both")]


async def test_another_replica_waits_for_the_lease(store: Store) -> None:
    first = await Path(store, owner="one", alone=False).start()
    await first.say("a")
    await first.begun("a")
    await first.crash()
    async with Path(store, owner="two", alone=False, clock=first.clock) as second:
        await second.sweep()
        assert await second.state("a") == "running"
        assert second.puppet.order == []
        second.clock.advance(31)
        await second.sweep()
        await second.begun("a", attempt=2)


async def test_a_living_owner_keeps_its_lease(store: Store) -> None:
    async with (
        Path(store, owner="one", alone=False) as one,
        Path(store, owner="two", alone=False, clock=one.clock) as two,
    ):
        await one.say("a")
        await one.begun("a")
        for _ in range(5):
            one.clock.advance(20)
            await one.sweep()
            await two.sweep()
        assert two.puppet.order == []
        one.puppet.finish("a")
        assert (await one.ended("a")).state == "succeeded"


async def test_a_zombie_leaves_no_trace(store: Store) -> None:
    """One is paused, its lease runs out, Two takes over; One wakes up and finishes."""
    async with (
        Path(store, owner="one", alone=False) as one,
        Path(store, owner="two", alone=False, clock=one.clock) as two,
    ):
        await one.say("a")
        await one.begun("a")
        one.clock.advance(31)
        await two.sweep()
        await two.begun("a", attempt=2)
        one.puppet.finish("a", "from the grave")
        await eventually(lambda: one.turns.running == 0)
        assert one.events.final("a") is None
        assert await two.transcript() == [("user", "a")]
        two.puppet.finish("a", "alive")
        await two.ended("a")
        assert await two.transcript() == [("user", "a"), ("assistant", "alive")]
        await one.sweep()
        assert (await one.ended("a")).fence == 2
        assert one.failures == []


async def test_a_zombie_may_not_act(store: Store) -> None:
    async with (
        Path(store, owner="one", alone=False) as one,
        Path(store, owner="two", alone=False, clock=one.clock) as two,
    ):
        await one.say("a")
        await one.begun("a")
        one.clock.advance(31)
        await two.sweep()
        await two.begun("a", attempt=2)
        one.puppet.tell("a", ToolStarted("t1", "pay", {}), TextDelta("paid"))
        await eventually(lambda: one.puppet.cleaned == ["a"])
        assert "paid" not in str(one.events.frames)


async def test_a_zombie_is_stopped_when_it_renews(store: Store) -> None:
    async with (
        Path(store, owner="one", alone=False) as one,
        Path(store, owner="two", alone=False, clock=one.clock) as two,
    ):
        await one.say("a")
        await one.begun("a")
        one.clock.advance(31)
        await two.sweep()
        await two.begun("a", attempt=2)
        await one.sweep()
        await eventually(lambda: one.turns.running == 0)
        assert one.puppet.cleaned == ["a"]


async def test_a_paused_owner_that_is_alone_goes_on(sqlite_store: Store) -> None:
    """A laptop that slept: the lease ran out, but nobody took the turn."""
    async with Path(sqlite_store) as path:
        await path.say("a")
        await path.begun("a")
        path.clock.advance(3600)
        await path.sweep()
        path.puppet.finish("a")
        row = await path.ended("a")
        assert (row.state, row.attempts) == ("succeeded", 1)


async def test_the_lane_follows_whoever_ends_its_turn(store: Store) -> None:
    async with (
        Path(store, owner="one", alone=False) as one,
        Path(store, owner="two", alone=False, clock=one.clock) as two,
    ):
        await one.say("a")
        await two.say("b")
        await one.begun("a")
        await loop_turns()
        assert two.puppet.order == []
        one.puppet.finish("a")
        await one.begun("b")
        waiting = asyncio.ensure_future(two.turns.wait("b", 20))
        one.puppet.finish("b")
        await one.ended("b")
        await two.sweep()
        row = await waiting
        assert row is not None
        assert row.state == "succeeded"


async def test_two_owners_race_for_every_lane(store: Store) -> None:
    """Every message is answered once, in order, however claims and accepts interleave."""
    async with (
        Path(store, owner="one", alone=False) as one,
        Path(store, owner="two", alone=False, clock=one.clock) as two,
    ):
        sessions = [f"s{number}" for number in range(5)]
        for owner in (one, two):
            for session in sessions:
                for number in range(4):
                    owner.puppet.finish(f"{session}-{number}", f"to {number}")

        async def talk(session: str) -> None:
            for number in range(4):
                run_id = f"{session}-{number}"
                both = await asyncio.gather(
                    *(o.say(run_id, str(number), session=session) for o in (one, two))
                )
                assert sorted(accepted.duplicate for accepted in both) == [False, True]

        await asyncio.gather(*(talk(session) for session in sessions))
        for session in sessions:
            for number in range(4):
                await eventually(lambda r=f"{session}-{number}": _is_done(one, r))
            said = [text for _, text in await one.transcript(session)]
            assert said == [text for n in range(4) for text in (str(n), f"to {n}")]
        assert one.failures == two.failures == []


async def _is_done(path: Path, run_id: str) -> bool:
    row = await path.turns.find(run_id)
    return row is not None and not row.is_open


# -- shutting down -------------------------------------------------------------------------------


async def test_drain_lets_runs_finish_and_begins_none(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a")
        await path.say("b")
        await path.begun("a")
        draining = asyncio.ensure_future(path.turns.drain(10))
        await path.settled()
        await path.say("c", session="other")
        assert not draining.done()
        path.puppet.finish("a")
        await draining
        assert path.puppet.order == ["a"]
        assert [await path.state(name) for name in ("a", "b", "c")] == [
            "succeeded",
            "queued",
            "queued",
        ]
    async with Path(store, owner="two", clock=path.clock) as second:
        await second.begun("b")
        await second.begun("c")


async def test_a_run_that_outlives_the_drain_is_resumed(store: Store) -> None:
    path = await Path(store).start()
    await path.say("a")
    await path.begun("a")
    await path.turns.drain(0.01)
    await path.crash()
    assert await path.state("a") == "running"
    async with Path(store, owner="two", clock=path.clock) as second:
        await second.begun("a", attempt=2)
        second.puppet.finish("a")
        await second.ended("a")
        assert await second.transcript() == [("user", "a"), ("assistant", "done")]


async def test_drain_of_nothing(sqlite_store: Store) -> None:
    async with Path(sqlite_store) as path:
        await path.turns.drain(10)


# -- lost wake-ups -------------------------------------------------------------------------------


async def test_an_accept_whose_caller_went_away_is_answered(store: Store) -> None:
    """The commit happened, `begin` did not: the request was cancelled in between."""
    async with Path(store) as path:
        accepting = asyncio.ensure_future(path.say("a"))
        await loop_turns(1)
        accepting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await accepting
        await eventually(lambda: _exists(path))
        assert path.puppet.order == []
        await path.sweep()
        await path.sweep()
        await path.begun("a")
        path.puppet.finish("a")
        row = await path.ended("a")
        assert (row.state, row.attempts) == ("succeeded", 1)


async def _exists(path: Path) -> bool:
    return await path.turns.find("a") is not None


async def test_a_waiting_turn_nobody_woke_is_found(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a")
        path.puppet.finish("a")
        await path.ended("a")
    async with Path(store, owner="two", clock=path.clock) as second:
        second.turns.retire()
        await second.say("b")
        second.turns._lanes.resume()
        assert second.puppet.order == []
        await second.sweep()
        await second.begun("b")


async def test_feeds_of_runs_that_ended_elsewhere_are_closed(sqlite_store: Store) -> None:
    async with (
        Path(sqlite_store, owner="one", alone=False) as one,
        Path(sqlite_store, owner="two", alone=False, clock=one.clock) as two,
    ):
        await one.say("a")
        await two.say("b")  # queued behind it: two keeps a feed
        two.turns._feeds.open("nobody")
        for name in ("a", "b"):
            await one.begun(name)
            one.puppet.finish(name)
            await one.ended(name)
        feed = two.turns.feed("b")
        assert feed is not None
        assert feed.ended is None
        await two.sweep()
        assert feed.ended is not None
        assert two.turns._feeds.open_ids() == []


async def test_one_bad_row_does_not_hold_up_the_rescue(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await Path(sqlite_store, owner="one").start()
    await first.say("a", session="one")
    await first.say("b", session="two")
    await first.begun("b")
    await first.crash()
    second = Path(sqlite_store, owner="two", clock=first.clock)
    resolve = second.turns._sweep._resolve

    async def poisoned(row: object) -> None:
        if getattr(row, "run_id", "") == "a":
            raise ValueError("cannot be read")
        await resolve(row)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(second.turns._sweep, "_resolve", poisoned)
    async with second:
        await second.begun("b", attempt=2)


async def test_final_without_text_after_resume(sqlite_store: Store) -> None:
    first = await Path(sqlite_store, owner="one").start()
    await first.say("a")
    await first.begun("a")
    await first.crash()
    async with Path(sqlite_store, owner="two", clock=first.clock) as second:
        second.puppet.tell("a", Final())
        assert (await second.ended("a")).state == "succeeded"
        assert await second.transcript() == [("user", "a")]
