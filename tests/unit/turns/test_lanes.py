"""Lanes: one turn at a time per session, in order; others go on. On both engines."""

from __future__ import annotations

import asyncio

import pytest

from portico.agents.runtime import TextDelta, TurnRequest
from portico.channels.model import Peer
from portico.protocol.errors import IdempotencyMismatch, Overloaded
from portico.store import Store
from portico.turns.model import TurnLimits
from tests.support.path import FakeChannel, Path, Senders
from tests.support.waiting import eventually


async def test_messages_of_a_session_run_one_after_the_other(store: Store) -> None:
    async with Path(store) as path:
        names = [f"r{number}" for number in range(5)]
        for name in names:
            await path.say(name)
        await path.begun("r0")
        await path.settled()
        assert path.puppet.order == ["r0"]
        for name in names:
            await path.begun(name)
            path.puppet.finish(name, f"to {name}")
            await path.ended(name)
        assert path.puppet.order == names
        said = await path.transcript()
        assert said == [pair for n in names for pair in (("user", n), ("assistant", f"to {n}"))]


async def test_sessions_do_not_wait_for_each_other(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a", session="one")
        await path.say("b", session="two")
        await path.begun("a")
        await path.begun("b")
        path.puppet.finish("b")
        await path.ended("b")
        assert await path.state("a") == "running"


async def test_a_repeat_is_the_first_run(store: Store) -> None:
    async with Path(store) as path:
        first = await path.say("a", "hello")
        repeat = await path.say("a", "hello")
        assert repeat.duplicate
        assert (repeat.run_id, repeat.message_id) == ("a", first.message_id)
        path.puppet.finish("a")
        await path.ended("a")
        late = await path.say("a", "hello")
        assert late.duplicate
        assert path.puppet.order == ["a"]
        assert await path.transcript() == [("user", "hello"), ("assistant", "done")]


async def test_concurrent_repeats_start_one_run(store: Store) -> None:
    async with Path(store) as path:
        accepted = await asyncio.gather(*(path.say("a", "hello") for _ in range(20)))
        assert sum(not each.duplicate for each in accepted) == 1
        await path.begun("a")
        assert path.puppet.order == ["a"]


@pytest.mark.parametrize(
    "other",
    [
        {"text": "other"},
        {"session": "other"},
        {"sender": "bob"},
        {"request": TurnRequest(text="hello", system_prompt="be rude")},
    ],
    ids=["text", "session", "sender", "prompt"],
)
async def test_a_key_used_for_something_else_is_refused(sqlite_store: Store, other: dict) -> None:
    async with Path(sqlite_store) as path:
        await path.say("a", "hello")
        with pytest.raises(IdempotencyMismatch):
            await path.say("a", **({"text": "hello"} | other))
        assert [row.run_id for row in await path.turns.open_in_lane("agent:main:s")] == ["a"]


async def test_a_run_id_of_another_door_is_refused(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a", "hello")
        with pytest.raises(IdempotencyMismatch):
            await path.say("a", "hello", channel="fake")


async def test_collect_answers_what_waits_together(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a")
        for name in ("b", "c", "d"):
            await path.say(name, mode="collect")
        await path.begun("a")
        path.puppet.finish("a")
        turn = await path.begun("b")
        assert turn.request.text == "b\n\nc\n\nd"
        waiting = asyncio.ensure_future(path.turns.wait("c", 20))
        path.puppet.finish("b", "all three")
        row = await waiting
        assert row is not None
        assert (row.run_id, row.state) == ("b", "succeeded")
        late = await path.turns.wait("d", 20)
        assert late is not None
        assert late.run_id == "b"
        assert path.puppet.order == ["a", "b"]
        assert (await path.transcript())[2:] == [
            ("user", "b\n\nc\n\nd"),
            ("assistant", "all three"),
        ]
        for name in ("c", "d"):
            assert await path.state(name) == "merged"
            end = path.events.final(name)
            assert end is not None
            assert (end["state"], end["stopReason"]) == ("final", "merged")
            assert "message" not in end


async def test_collect_does_not_overtake(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a")
        await path.say("b", mode="collect")
        await path.say("c", mode="followup")
        await path.say("d", mode="collect")
        path.puppet.finish("a")
        assert (await path.begun("b")).request.text == "b"
        for name in ("b", "c", "d"):
            await path.begun(name)
            path.puppet.finish(name)
            await path.ended(name)
        assert path.puppet.order == ["a", "b", "c", "d"]


async def test_collect_keeps_people_apart(store: Store) -> None:
    """Answers go where the message came from: other routes are not collected."""
    from portico.channels.model import Peer

    async with Path(store) as path:
        await path.say("a")
        await path.say("b", mode="collect")
        await path.say("c", mode="collect", peer=Peer("direct", "bob"))
        path.puppet.finish("a")
        assert (await path.begun("b")).request.text == "b"
        path.puppet.finish("b")
        assert (await path.begun("c")).request.text == "c"


async def test_steer_reaches_the_run(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a")
        await path.begun("a")
        await path.say("b", mode="steer")
        path.puppet.tell("a", "steer")
        await eventually(lambda: path.puppet.steered)
        assert path.puppet.steered[0].text == "b"
        path.puppet.finish("a", "both")
        row = await path.turns.wait("b", 20)
        assert row is not None
        assert row.run_id == "a"
        assert await path.transcript() == [("user", "a"), ("user", "b"), ("assistant", "both")]
        assert path.puppet.order == ["a"]


async def test_steer_that_the_run_does_not_take_is_answered_next(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a")
        await path.begun("a")
        await path.say("b", mode="steer")
        path.puppet.finish("a")
        await path.begun("b")
        path.puppet.finish("b")
        await path.ended("b")
        assert [text for _, text in await path.transcript()] == ["a", "done", "b", "done"]


async def test_steer_waits_for_a_runtime_that_cannot_be_steered(sqlite_store: Store) -> None:
    from tests.support.path import Puppet

    async with Path(sqlite_store, runtime=Puppet(steerable=False)) as path:
        puppet = path.runtimes.runtime
        assert isinstance(puppet, Puppet)
        await path.say("a")
        await path.say("b", mode="steer")
        await eventually(lambda: puppet.begun("a"))
        puppet.tell("a", "steer")
        await path.settled()
        assert not puppet.steered
        assert await path.state("b") == "queued"


async def test_interrupt_ends_the_run_and_goes_next(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a")
        await path.begun("a")
        path.puppet.tell("a", TextDelta("half an"))
        await eventually(lambda: "delta" in path.events.states("a"))
        await path.say("b", mode="interrupt")
        ended = await path.ended("a")
        assert (ended.state, ended.result and ended.result.stop_reason) == (
            "cancelled",
            "interrupted",
        )
        await path.begun("b")
        path.puppet.finish("b", "ok")
        await path.ended("b")
        assert await path.transcript() == [
            ("user", "a"),
            ("assistant", "half an"),
            ("user", "b"),
            ("assistant", "ok"),
        ]


async def test_interrupt_of_a_run_that_has_not_begun_yet(store: Store) -> None:
    """Both are accepted by one commit: the first has no task to cancel yet."""
    async with Path(store) as path:
        await asyncio.gather(path.say("a"), path.say("b", mode="interrupt"))
        ended = await path.ended("a")
        assert ended.state == "cancelled"
        await path.begun("b")
        path.puppet.finish("b")
        await path.ended("b")
        assert path.turns.running == 0


async def test_a_full_lane_refuses_the_newest(store: Store) -> None:
    async with Path(store) as path:
        path.lanes.cap = 2
        path.lanes.drop = "new"
        for name in ("a", "b", "c"):
            await path.say(name)
        with pytest.raises(Overloaded):
            await path.say("d")
        assert await path.state("d") == "absent"
        path.puppet.finish("a")
        await path.ended("a")
        again = await path.say("d")
        assert not again.duplicate


async def test_a_full_lane_drops_the_oldest(store: Store) -> None:
    async with Path(store) as path:
        path.lanes.cap = 2
        path.lanes.drop = "old"
        for name in ("a", "b", "c", "d"):
            await path.say(name)
        dropped = await path.ended("b")
        assert dropped.state == "dropped"
        assert dropped.result is not None
        assert "not answered" in (dropped.result.error or "")
        end = path.events.final("b")
        assert end is not None
        assert (end["state"], end["stopReason"]) == ("error", "dropped")
        for name in ("a", "c", "d"):
            turn = await path.begun(name)
            assert turn.request.late_context is None
            path.puppet.finish(name)
            await path.ended(name)
        assert path.puppet.order == ["a", "c", "d"]
        assert "b" not in [text for _, text in await path.transcript()]


async def test_whoever_was_dropped_on_a_channel_is_told_there(store: Store) -> None:
    channel = FakeChannel()
    async with Path(store, senders=Senders({"fake": channel})) as path:
        path.lanes.cap = 1
        for name in ("a", "b", "c"):
            await path.say(name, channel="fake", peer=Peer("direct", name))
        await eventually(lambda: channel.ledger)
        (told,) = channel.ledger
        assert (told.route.peer.id, told.run_id) == ("b", "b")
        assert told.text == "Too many messages were waiting; this one was not answered."


async def test_a_full_lane_sums_up_what_it_dropped(store: Store) -> None:
    async with Path(store) as path:
        path.lanes.cap = 1
        path.lanes.drop = "summarize"
        await path.say("a")
        for name in ("b", "c", "d"):
            await path.say(name, f"text of\n{name}")
        path.puppet.finish("a")
        turn = await path.begun("d")
        assert turn.request.text == "text of\nd"
        context = turn.request.late_context or ""
        assert context.splitlines()[1:] == ["- text of b", "- text of c"]
        path.puppet.finish("d")
        await path.ended("d")
        assert [text for _, text in await path.transcript()] == ["a", "done", "text of\nd", "done"]


async def test_a_sum_of_what_strangers_wrote_is_a_strangers_text(store: Store) -> None:
    async with Path(store) as path:
        path.inbox._vouched_for = lambda message: message.sender == "ann"
        path.lanes.cap = 1
        path.lanes.drop = "summarize"
        for name, sender in (("a", "ann"), ("b", "bob"), ("c", "ann")):
            await path.say(name, sender=sender)
        path.puppet.finish("a")
        turn = await path.begun("c")
        assert "- b" in (turn.request.late_context or "")
        assert turn.request.is_untrusted
        path.puppet.finish("c")
        await path.ended("c")


async def test_no_more_turns_run_than_slots(store: Store) -> None:
    limits = TurnLimits(max_concurrent=3, live_text_ms=5)
    async with Path(store, limits=limits) as path:
        names = [f"r{number:02}" for number in range(20)]
        await asyncio.gather(*(path.say(name, session=name) for name in names))
        most = 0
        for done in range(20):
            await eventually(lambda n=done: len(path.puppet.turns) > n)
            most = max(most, path.turns.running)
            running = path.puppet.order[done]
            path.puppet.finish(running)
            await path.ended(running)
        assert most == 3
        assert sorted(path.puppet.order) == names


async def test_a_lane_that_always_has_work_lets_others_in(store: Store) -> None:
    limits = TurnLimits(max_concurrent=1, live_text_ms=5)
    async with Path(store, limits=limits) as path:
        for name in ("a1", "a2", "a3"):
            await path.say(name, session="busy")
        await path.say("b1", session="other")
        for _ in range(4):
            name = await eventually(
                lambda: next((n for n in path.puppet.order if n not in path.puppet.cleaned), None)
            )
            path.puppet.finish(name)
            await path.ended(name)
        assert path.puppet.order[0] == "a1"
        assert path.puppet.order.index("b1") < path.puppet.order.index("a3")


async def test_waiting_turns_expire(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a")
        await path.say("b", expires_at=path.clock.now_ms() + 60_000)
        await path.sweep()
        assert await path.state("b") == "queued"
        path.clock.advance(61)
        await path.sweep()
        row = await path.ended("b")
        assert row.state == "expired"
        end = path.events.final("b")
        assert end is not None
        assert end["state"] == "error"
        assert "waited too long" in end["errorMessage"]


async def test_wait_says_what_it_knows(sqlite_store: Store) -> None:
    async with Path(sqlite_store) as path:
        assert await path.turns.wait("nobody", 1) is None
        await path.say("a")
        row = await path.turns.wait("a", 0.01)
        assert row is not None
        assert row.state == "running"
        path.puppet.finish("a")
        assert (await path.ended("a")).state == "succeeded"


async def test_a_deleted_session_does_not_hold_up_its_lane(sqlite_store: Store) -> None:
    import sqlalchemy as sa

    from portico.store import Work, statement

    remove = statement(sa.text("DELETE FROM sessions"))

    def forget() -> Work[None]:
        yield remove()

    async with Path(sqlite_store) as path:
        await path.say("a")
        await path.say("b")
        await path.begun("a")
        await sqlite_store.write(forget)
        path.puppet.finish("a")
        assert (await path.ended("a")).state == "succeeded"
        await path.begun("b")
        path.puppet.finish("b")
        assert (await path.ended("b")).state == "succeeded"
        assert await path.transcript() == [("user", "b"), ("assistant", "done")]
