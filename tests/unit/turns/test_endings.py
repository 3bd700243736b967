"""How a turn ends, whatever its runtime does: state, transcript, events, and the lane goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from portico.agents.runtime import (
    AgentEvent,
    Failed,
    Final,
    ModelUsed,
    TextDelta,
    ToolFinished,
    ToolStarted,
    Turn,
    Usage,
)
from portico.channels.contract import Outgoing
from portico.store import Store
from portico.turns.active import INTERNAL_ERROR
from tests.support.path import FakeChannel, Path, Puppet, Senders, replace_write
from tests.support.waiting import eventually


async def answered(path: Path, run_id: str = "next") -> None:
    """The lane is not stuck: the next message is answered."""
    await path.say(run_id)
    await path.begun(run_id)
    path.puppet.finish(run_id)
    assert (await path.ended(run_id)).state == "succeeded"
    assert path.failures == []


async def test_an_answer(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a", "hello")
        path.puppet.tell("a", TextDelta("Hel"), TextDelta("lo"))
        path.puppet.tell("a", ModelUsed(Usage(input=3, output=2, context=3), "acme", "m1"), Final())
        row = await path.ended("a")
        assert row.result is not None
        assert (row.state, row.result.text, row.result.stop_reason) == (
            "succeeded",
            "Hello",
            "stop",
        )
        assert (row.result.usage.input, row.result.calls, row.result.model) == (3, 1, "m1")
        assert (row.owner, row.lease_until) == (None, None)
        user, answer = await path.entries()
        assert (user.seq, answer.seq) == (1, 2)
        assert user.meta["key"] == "a"
        assert answer.entry_id == row.result.entry_id
        assert answer.meta["usage"] == {"input": 3, "output": 2}
        assert path.seen.entries[-1].entry_id == answer.entry_id
        assert path.events.states("a") == ["status", "delta", "delta", "final"]


async def test_the_final_event_follows_the_commit(sqlite_store: Store) -> None:
    async with Path(sqlite_store) as path:
        committed: list[str] = []
        record = path.events.send_event

        def look(frame: bytes, *, droppable: bool) -> bool:
            if b'"state":"final"' in frame:
                work: Any = path.turns.find("a")
                with pytest.raises(StopIteration) as stop:  # SQLite reads without waiting
                    work.send(None)
                committed.append(stop.value.value.state.value)
                assert not droppable
            return record(frame, droppable=droppable)

        path.events.send_event = look  # type: ignore[method-assign]
        await path.say("a")
        path.puppet.finish("a")
        await path.ended("a")
        assert committed == ["succeeded"]


async def test_live_text_is_joined(sqlite_store: Store) -> None:
    async with Path(sqlite_store) as path:
        await path.say("a")
        path.puppet.tell("a", *(TextDelta(f"{number} ") for number in range(100)), Final())
        await path.ended("a")
        deltas = [p for p in path.events.chat("a") if p["state"] == "delta"]
        assert 2 <= len(deltas) < 20
        whole = "".join(f"{number} " for number in range(100))
        assert "".join(p["deltaText"] for p in deltas) == whole
        final = path.events.final("a")
        assert final is not None
        assert final["message"]["content"][0]["text"] == whole
        assert path.events.states("a")[-1] == "final"


async def test_a_runtime_that_raises(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a")
        path.puppet.tell("a", TextDelta("so far"), RuntimeError("secret"))
        row = await path.ended("a")
        assert row.state == "failed"
        assert row.result is not None
        assert row.result.error == INTERNAL_ERROR
        end = path.events.final("a")
        assert end is not None
        assert (end["state"], end["errorMessage"]) == ("error", INTERNAL_ERROR)
        assert "secret" not in str(path.events.frames)
        _, answer = await path.entries()
        assert answer.meta["errorMessage"] == INTERNAL_ERROR
        await answered(path)


@pytest.mark.parametrize("line", ["stop", asyncio.CancelledError(), TimeoutError(), KeyError(1)])
async def test_a_runtime_that_breaks_its_contract(sqlite_store: Store, line: Any) -> None:
    async with Path(sqlite_store) as path:
        await path.say("a")
        path.puppet.tell("a", line)
        row = await path.ended("a")
        assert row.state == "failed"
        assert row.result is not None
        assert row.result.error == INTERNAL_ERROR
        await answered(path)


async def test_a_failure_in_the_runtimes_own_words(sqlite_store: Store) -> None:
    async with Path(sqlite_store) as path:
        await path.say("a")
        path.puppet.tell("a", Failed("Too many requests.", "rate_limit"))
        row = await path.ended("a")
        assert row.state == "failed"
        end = path.events.final("a")
        assert end is not None
        assert (end["errorMessage"], end["errorKind"]) == ("Too many requests.", "rate_limit")


async def test_what_follows_a_final_is_not_heard(sqlite_store: Store) -> None:
    async with Path(sqlite_store) as path:
        await path.say("a")
        path.puppet.tell("a", TextDelta("yes"), Final(), TextDelta(" no"), Failed("no"))
        row = await path.ended("a")
        assert row.result is not None
        assert row.result.text == "yes"
        assert path.puppet.cleaned == ["a"]


async def test_a_run_that_takes_too_long(store: Store) -> None:
    async with Path(store) as path:
        path.runtimes.timeout_s = 0.05
        await path.say("a")
        path.puppet.tell("a", TextDelta("half"))
        row = await path.ended("a")
        assert row.state == "timed_out"
        assert row.result is not None
        assert (row.result.text, row.result.error_kind) == ("half", "timeout")
        assert path.puppet.cleaned == ["a"]
        path.runtimes.timeout_s = 60
        await answered(path)


async def test_nothing_to_say(sqlite_store: Store) -> None:
    async with Path(sqlite_store) as path:
        await path.say("a")
        path.puppet.tell("a", Final())
        row = await path.ended("a")
        assert row.state == "succeeded"
        assert await path.transcript() == [("user", "a")]
        end = path.events.final("a")
        assert end is not None
        assert "message" not in end


async def test_tools_are_in_the_transcript(sqlite_store: Store) -> None:
    async with Path(sqlite_store) as path:
        await path.say("a")
        path.puppet.tell(
            "a",
            ToolStarted("t1", "look", {"at": "x"}, side_effects=False),
            ToolFinished("t1", "look", "a view"),
            TextDelta("seen"),
            Final(),
        )
        await path.ended("a")
        assert await path.transcript() == [
            ("user", "a"),
            ("assistant", ""),
            ("toolResult", "a view"),
            ("assistant", "seen"),
        ]
        call = (await path.entries())[1]
        assert call.content == [
            {"type": "toolCall", "id": "t1", "name": "look", "arguments": {"at": "x"}}
        ]
        tools = [frame for frame in path.events.frames if frame["event"] == "session.tool"]
        assert tools == []  # nobody subscribed to the list of sessions


async def test_what_cannot_be_written_is_made_writable(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a", "with \x00 and \U0001f600")
        path.puppet.tell(
            "a",
            ToolStarted("t1", "look", {"at": object()}, side_effects=False),
            ToolFinished("t1", "look", {1: {2, 3}, "x": object()}),
            TextDelta("half a pair: \ud83d, a null: \x00"),
            Final(),
        )
        row = await path.ended("a")
        assert row.state == "succeeded"
        assert row.result is not None
        assert row.result.text == "half a pair: ?, a null: \x00"
        await answered(path)


class Stubborn:
    """Ignores being cancelled, once."""

    name = "stubborn"
    abilities = Puppet().abilities

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            yield TextDelta("I will not stop")
            yield Final()


async def test_cancel_wins_over_a_runtime_that_ignores_it(sqlite_store: Store) -> None:
    runtime = Stubborn()
    async with Path(sqlite_store, runtime=runtime) as path:
        await path.say("a")
        await runtime.begun.wait()
        assert await path.turns.cancel("a", "rpc")
        assert (await path.ended("a")).state == "cancelled"


class BadCleanUp(Puppet):
    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        try:
            yield TextDelta("fine")
            yield Final()
        finally:
            raise OSError("while cleaning up")


async def test_a_clean_up_that_fails_does_not_spoil_the_answer(sqlite_store: Store) -> None:
    async with Path(sqlite_store, runtime=BadCleanUp()) as path:
        await path.say("a")
        row = await path.ended("a")
        assert row.result is not None
        assert (row.state, row.result.text) == ("succeeded", "fine")


# -- cancelling ----------------------------------------------------------------------------------


async def test_cancel_a_running_turn(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a")
        await path.begun("a")
        path.puppet.tell("a", TextDelta("half"))
        await eventually(lambda: "delta" in path.events.states("a"))
        assert await path.turns.cancel("a", "rpc")
        row = await path.ended("a")
        assert row.result is not None
        assert (row.state, row.result.text, row.result.stop_reason) == ("cancelled", "half", "rpc")
        assert row.result.error is None
        end = path.events.final("a")
        assert end is not None
        assert (end["state"], end["stopReason"]) == ("aborted", "rpc")
        _, answer = await path.entries()
        assert answer.meta["aborted"] is True
        assert path.puppet.cleaned == ["a"]
        assert not await path.turns.cancel("a", "rpc")
        await answered(path)


async def test_cancel_a_waiting_turn(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a")
        await path.say("b")
        waiting = asyncio.ensure_future(path.turns.wait("b", 20))
        assert await path.turns.cancel("b", "rpc")
        row = await waiting
        assert row is not None
        assert row.state == "cancelled"
        assert row.result is not None
        assert (row.result.stop_reason, row.result.error) == ("rpc", None)
        assert path.events.states("b") == ["aborted"]
        path.puppet.finish("a")
        await path.ended("a")
        assert path.puppet.order == ["a"]
        assert "b" not in [text for _, text in await path.transcript()]


async def test_cancel_before_the_run_has_begun(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a")  # its task has not had a turn of the loop yet
        assert await path.turns.cancel("a", "rpc")
        assert (await path.ended("a")).state == "cancelled"
        await answered(path)


async def test_cancel_while_the_end_is_committed(store: Store) -> None:
    """The answer was complete: it stays, everybody is told, and the lane goes on."""
    async with Path(store) as path:
        await path.say("a")
        await path.say("b")
        await path.begun("a")
        write, reached, go = store.write, asyncio.Event(), asyncio.Event()

        async def slow(work: Any, *args: Any, **kwargs: Any) -> Any:
            if work.__qualname__.startswith("Runner._commit"):
                reached.set()
                await go.wait()
            return await write(work, *args, **kwargs)

        replace_write(store, slow)
        path.puppet.finish("a", "complete")
        await reached.wait()
        replace_write(store, write)
        cancelling = asyncio.ensure_future(path.turns.cancel("a", "rpc"))
        await path.settled()
        go.set()
        assert await cancelling is False
        row = await path.ended("a")
        assert row.result is not None
        assert (row.state, row.result.text) == ("succeeded", "complete")
        assert path.events.states("a")[-1] == "final"
        await path.begun("b")
        path.puppet.finish("b")
        await path.ended("b")


async def test_cancel_a_whole_session(store: Store) -> None:
    async with Path(store) as path:
        for name in ("a", "b", "c"):
            await path.say(name)
        await path.begun("a")
        assert await path.turns.cancel_session("agent:main:s", "reset", queued=False) == ["a"]
        await path.begun("b")
        assert await path.turns.cancel_session("agent:main:s", "reset") == ["b", "c"]
        assert await path.turns.open_in_lane("agent:main:s") == []


async def test_cancel_a_run_of_another_owner(store: Store) -> None:
    async with (
        Path(store, owner="one", alone=False) as one,
        Path(store, owner="two", alone=False, clock=one.clock) as two,
    ):
        await one.say("a")
        await one.begun("a")
        cancelling = asyncio.ensure_future(two.turns.cancel("a", "rpc"))
        await eventually(lambda: _asked(two))
        await one.sweep()
        assert (await one.ended("a")).state == "cancelled"
        await two.sweep()
        assert await cancelling


async def _asked(path: Path) -> bool:
    row = await path.turns.find("a")
    return row is not None and row.cancel_reason is not None


async def test_interrupt_a_run_of_another_owner(store: Store) -> None:
    async with (
        Path(store, owner="one", alone=False) as one,
        Path(store, owner="two", alone=False, clock=one.clock) as two,
    ):
        await one.say("a")
        await one.begun("a")
        await two.say("b", mode="interrupt")
        await eventually(lambda: _asked(two))
        await one.sweep()
        assert (await one.ended("a")).state == "cancelled"
        await one.begun("b")


# -- when the database goes away -----------------------------------------------------------------


class Away(Exception):
    pass


def fail_ends(store: Store, times: int, *, after_commit: bool = False) -> list[int]:
    """Let the next `times` commits of a turn's end fail."""
    write, failed = store.write, [0]

    async def failing(work: Any, *args: Any, **kwargs: Any) -> Any:
        if work.__qualname__.startswith("Runner._commit") and failed[0] < times:
            failed[0] += 1
            if after_commit:
                await write(work, *args, **kwargs)
            raise Away
        return await write(work, *args, **kwargs)

    replace_write(store, failing)
    return failed


async def test_an_end_is_tried_again(store: Store) -> None:
    async with Path(store) as path:
        failed = fail_ends(store, 3)
        await path.say("a")
        await path.say("b")
        path.puppet.finish("a", "kept")
        row = await path.ended("a")
        assert failed == [3]
        assert row.result is not None
        assert (row.state, row.result.text) == ("succeeded", "kept")
        await path.begun("b")
        assert path.events.states("a")[-1] == "final"


async def test_an_end_whose_commit_was_not_answered(store: Store) -> None:
    async with Path(store) as path:
        fail_ends(store, 1, after_commit=True)
        await path.say("a")
        await path.say("b")
        path.puppet.finish("a", "kept")
        row = await path.ended("a")
        assert (row.state, row.result and row.result.text) == ("succeeded", "kept")
        assert [text for _, text in await path.transcript()].count("kept") == 1
        final = await eventually(lambda: path.events.final("a"))
        assert final["state"] == "final"
        # Its follower was claimed by that commit, and nobody knows: the sweep finds it.
        await path.sweep()
        await path.sweep()
        await path.begun("b")
        path.puppet.finish("b")
        await path.ended("b")


async def test_an_end_that_cannot_be_committed_is_resolved_later(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portico.store.patience.FIRST_RETRY_S", 0.001)
    from portico.turns.model import TurnLimits

    async with Path(sqlite_store, limits=TurnLimits(lease_s=0.005, live_text_ms=5)) as path:
        write = sqlite_store.write
        fail_ends(sqlite_store, 10**6)
        await path.say("a")
        await path.say("b")
        path.puppet.finish("a", "lost")
        await eventually(lambda: path.turns.running == 0)
        assert await path.state("a") == "running"
        replace_write(sqlite_store, write)
        await path.sweep()
        await path.begun("a", attempt=2)
        path.puppet.finish("a", "again")
        await path.ended("a")
        path.puppet.finish("b")
        await path.ended("b")
        said = [text for _, text in await path.transcript()]
        assert said == ["a", "again", "b", "done"]


async def test_a_sweep_survives_a_database_that_is_away(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portico.turns.model import TurnLimits

    limits = TurnLimits(sweep_s=0.01, live_text_ms=5)
    async with Path(sqlite_store, limits=limits) as path:
        calls = []
        read = sqlite_store.read

        async def away(work: Any, *args: Any, **kwargs: Any) -> Any:
            calls.append(work)
            raise Away

        monkeypatch.setattr(sqlite_store, "read", away)
        await eventually(lambda: len(calls) > 3)
        monkeypatch.setattr(sqlite_store, "read", read)
        await answered(path)


# -- deliveries ----------------------------------------------------------------------------------


async def test_answers_and_failures_are_delivered_with_the_end(store: Store) -> None:
    channel = FakeChannel()
    async with Path(store, senders=Senders({"fake": channel})) as path:
        await path.say("a", channel="fake")
        path.puppet.finish("a", "hello")
        await path.ended("a")
        await path.say("b", channel="fake")
        path.puppet.tell("b", Failed("Sorry."))
        await path.ended("b")
        await path.say("c", channel="fake")
        await path.begun("c")
        await path.turns.cancel("c", "rpc")
        await eventually(lambda: len(channel.ledger) == 2)
        assert channel.texts == ["hello", "Sorry."]
        sent: Outgoing = channel.ledger[0]
        assert (sent.route.channel, sent.route.peer.id) == ("fake", "ann")
