"""Old rows go; what is young, waits, runs or is stuck stays; on both engines."""

from __future__ import annotations

from portico.channels.contract import Rejected
from portico.store import Store
from portico.system.housekeeping import Housekeeping
from portico.tasks import Tasks
from tests.support.path import FakeChannel, Path, Senders, route, rows
from tests.support.waiting import eventually

DAY_MS = 86_400_000


async def test_ended_turns_and_their_messages_are_forgotten(store: Store) -> None:
    async with Path(store) as path:
        await path.say("old")
        path.puppet.finish("old")
        await path.ended("old")
        path.clock.advance(DAY_MS / 1000)
        await path.say("running")
        await path.begun("running")
        before = path.clock.now_ms() - DAY_MS // 2
        assert await path.turns.forget(before_ms=before) == 1
        assert await path.inbox.forget(before_ms=before) == 1
        assert await path.turns.find("old") is None
        assert await path.state("running") == "running"
        assert len(await rows(store, "SELECT message_id FROM inbox_messages")) == 1
        assert ("assistant", "done") in await path.transcript()


async def test_settled_deliveries_are_forgotten_and_stuck_ones_stay(store: Store) -> None:
    channel = FakeChannel()
    async with Path(store, senders=Senders({"fake": channel})) as path:
        sent = await path.outbox.send(route(), "hello", media=(), session_key=None)
        await path.outbox.wait_settled(sent, 20)
        channel.plan = [Rejected("no")]
        stuck = await path.outbox.send(route(), "again", media=(), session_key=None)
        await path.outbox.wait_settled(stuck, 20)
        path.clock.advance(DAY_MS / 1000)
        assert await path.outbox.forget(before_ms=path.clock.now_ms()) == 1
        assert await path.outbox.find(sent) is None
        assert await path.outbox.find(stuck) is not None
        left = await rows(store, "SELECT delivery_id FROM outbox_attempts")
        assert [row[0] for row in left] == [stuck]


async def test_a_chore_that_fails_does_not_keep_the_others_from_being_done() -> None:
    done: list[str] = []

    async def fails() -> int:
        raise OSError

    async def works() -> int:
        done.append("works")
        return 1

    tasks = Tasks(lambda name, error: done.append(f"{name}: {error}"))
    house = Housekeeping({"fails": fails, "works": works}, tasks=tasks, interval_s=0.001)
    house.start()
    await eventually(lambda: len(done) > 1)
    await tasks.stop()
    assert set(done) == {"works"}
