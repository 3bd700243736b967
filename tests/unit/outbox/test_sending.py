"""Sending: order per conversation, the six errors, uncertainty, crashes. On both engines."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path as FilePath
from typing import Any

import pytest

from portico.channels.accounts import store as account_store
from portico.channels.contract import (
    AuthExpired,
    NotReady,
    RateLimited,
    Receipt,
    Rejected,
    Transient,
    Uncertain,
)
from portico.outbox import store as outbox_store
from portico.outbox.life import RetryPolicy
from portico.outbox.store import Delivery
from portico.protocol.errors import InvalidRequest
from portico.store import Store, open_store
from tests.support.path import FakeChannel, Path, Senders, replace_write, route
from tests.support.waiting import eventually

POLICY = RetryPolicy(first_s=10, factor=1, longest_s=10)


def wired(store: Store, channel: FakeChannel | None, **options: Any) -> Path:
    senders = Senders({"fake": channel} if channel else {})
    return Path(store, senders=senders, retry=options.pop("retry", POLICY), **options)


async def send(path: Path, text: str = "hello", peer: str = "ann") -> str:
    return await path.outbox.send(route(peer), text, media=(), session_key=None)


async def in_state(path: Path, delivery_id: str, *states: str) -> Delivery:
    async def reached() -> Delivery | None:
        delivery = await path.outbox.find(delivery_id)
        return delivery if delivery is not None and delivery.state in states else None

    found: Delivery = await eventually(reached)
    return found


async def later(path: Path, seconds: float) -> None:
    path.clock.advance(seconds)
    path.outbox.wake()
    await path.settled()


async def test_a_delivery_is_sent_once(store: Store) -> None:
    channel = FakeChannel()
    async with wired(store, channel) as path:
        delivery_id = await send(path)
        sent = await in_state(path, delivery_id, "sent")
        assert (sent.attempts, sent.receipt) == (1, {"messageId": "provider-1"})
        assert channel.ledger[0].delivery_id == delivery_id
        await later(path, 100)
        assert len(channel.calls) == 1


async def test_a_conversation_keeps_its_order(store: Store) -> None:
    channel = FakeChannel()
    channel.gate = asyncio.Event()
    async with wired(store, channel) as path:
        for number in range(10):
            await send(path, f"a{number}")
            await send(path, f"b{number}", peer="bob")
        await eventually(lambda: len(channel.calls) == 2)  # one per conversation
        channel.gate.set()
        await eventually(lambda: len(channel.ledger) == 20)
        for peer in "ab":
            texts = [text for text in channel.texts if text.startswith(peer)]
            assert texts == [f"{peer}{number}" for number in range(10)]


async def test_a_waiting_head_blocks_only_its_conversation(store: Store) -> None:
    channel = FakeChannel()
    channel.plan = [Transient("no")]
    async with wired(store, channel) as path:
        first = await send(path, "a1")
        await in_state(path, first, "retry")
        await send(path, "a2")
        await send(path, "b1", peer="bob")
        await eventually(lambda: channel.texts == ["b1"])
        await path.settled()
        assert channel.texts == ["b1"]
        await later(path, 11)
        await eventually(lambda: channel.texts == ["b1", "a1", "a2"])


async def test_a_head_that_fails_for_good_lets_the_next_go(store: Store) -> None:
    channel = FakeChannel()
    channel.plan = [Rejected("never")]
    async with wired(store, channel) as path:
        first = await send(path, "a1")
        await send(path, "a2")
        await in_state(path, first, "failed")
        await eventually(lambda: channel.texts == ["a2"])


@pytest.mark.parametrize(
    ("error", "state", "shown"),
    [
        (NotReady("connecting"), "retry", "NotReady: connecting"),
        (Transient("503"), "retry", "Transient: 503"),
        (RateLimited("slow", retry_after_s=30), "retry", "RateLimited: slow"),
        (AuthExpired("logged out"), "failed", "AuthExpired: logged out"),
        (Rejected("too long"), "failed", "Rejected: too long"),
        (Uncertain("?"), "unknown", "Uncertain: ?"),
        (ConnectionResetError("token"), "unknown", "ConnectionResetError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_each_error_has_its_consequence(
    store: Store, error: Exception, state: str, shown: str
) -> None:
    channel = FakeChannel()
    channel.plan = [error]
    async with wired(store, channel) as path:
        delivery = await in_state(path, await send(path), state)
        assert (delivery.attempts, delivery.last_error) == (1, shown)
        await later(path, 31)
        if state == "retry":
            sent = await in_state(path, delivery.delivery_id, "sent")
            assert sent.attempts == 2
        else:
            assert len(channel.calls) == 1
            assert delivery.ended_at is not None


async def test_the_providers_wait_is_respected(store: Store) -> None:
    channel = FakeChannel()
    channel.plan = [RateLimited("slow", retry_after_s=60)]
    async with wired(store, channel) as path:
        delivery = await in_state(path, await send(path), "retry")
        assert delivery.next_attempt_at == path.clock.now_ms() + 60_000
        await later(path, 59)
        assert len(channel.calls) == 1
        await later(path, 2)
        await in_state(path, delivery.delivery_id, "sent")


async def test_an_unknown_outcome_is_resent_where_that_is_harmless(store: Store) -> None:
    channel = FakeChannel(keyed=True)
    channel.plan = ["drop the answer", "accept"]
    async with wired(store, channel) as path:
        delivery = await in_state(path, await send(path), "retry")
        await later(path, 11)
        await in_state(path, delivery.delivery_id, "sent")
        assert channel.texts == ["hello"]
        assert len(channel.calls) == 2


async def test_an_unknown_outcome_is_resent_where_that_is_the_policy(store: Store) -> None:
    channel = FakeChannel()
    channel.plan = ["drop the answer"]
    policy = RetryPolicy(first_s=10, factor=1, resend_unknown=True)
    async with wired(store, channel, retry=policy) as path:
        delivery = await in_state(path, await send(path), "retry")
        await later(path, 11)
        await in_state(path, delivery.delivery_id, "sent")
        assert channel.texts == ["hello", "hello"]


async def test_an_unknown_outcome_is_held_and_decided_by_a_person(store: Store) -> None:
    channel = FakeChannel()
    channel.plan = [Uncertain("?"), Uncertain("?")]
    async with wired(store, channel) as path:
        one = await in_state(path, await send(path, "one"), "unknown")
        two = await in_state(path, await send(path, "two"), "unknown")
        await path.outbox.decide(one.delivery_id, resend=True)
        again = await in_state(path, one.delivery_id, "sent")
        assert again.attempts == 2
        gone = await path.outbox.decide(two.delivery_id, resend=False)
        assert (gone.state, gone.ended_at) == ("discarded", path.clock.now_ms())
        assert channel.texts == ["one"]
        for delivery_id in (one.delivery_id, two.delivery_id, "dlv_nothing"):
            with pytest.raises(InvalidRequest):
                await path.outbox.decide(delivery_id, resend=True)


async def test_a_failed_one_may_be_resent_and_an_expired_one_not(store: Store) -> None:
    channel = FakeChannel()
    channel.plan = [AuthExpired("x"), Transient("x")]
    async with wired(store, channel) as path:
        failed = await in_state(path, await send(path), "failed")
        path.clock.advance(7200)
        await path.outbox.decide(failed.delivery_id, resend=True)
        await in_state(path, failed.delivery_id, "retry")
        await later(path, 3601)
        expired = await in_state(path, failed.delivery_id, "expired")
        assert expired.ended_at is not None
        assert len(channel.calls) == 2
        with pytest.raises(InvalidRequest):
            await path.outbox.decide(failed.delivery_id, resend=True)
        gone = await path.outbox.decide(failed.delivery_id, resend=False)
        assert gone.state == "discarded"


async def test_a_channel_that_is_not_running_is_waited_for(store: Store) -> None:
    async with wired(store, None) as path:
        delivery = await in_state(path, await send(path), "retry")
        assert "is not running" in (delivery.last_error or "")
        channel = FakeChannel()
        path.senders.channels["fake"] = channel
        await later(path, 11)
        await in_state(path, delivery.delivery_id, "sent")


async def test_tries_are_bounded(sqlite_store: Store) -> None:
    channel = FakeChannel()
    channel.plan = [Transient("no") for _ in range(10)]
    policy = RetryPolicy(first_s=1, factor=1, max_attempts=3)
    async with wired(sqlite_store, channel, retry=policy) as path:
        delivery_id = await send(path)
        for attempt in (1, 2):
            await eventually(lambda n=attempt: len(channel.calls) == n)
            await in_state(path, delivery_id, "retry")
            await later(path, 2)
        assert (await in_state(path, delivery_id, "failed")).attempts == 3


async def test_a_retry_comes_in_time_although_others_are_blocked(sqlite_store: Store) -> None:
    """The alarm looks at what waits for its time, not at what waits for its head."""
    channel = FakeChannel()
    channel.plan = [RateLimited("x", retry_after_s=0.05)]
    async with wired(sqlite_store, channel) as path:
        first = await send(path, "a1")
        await send(path, "a2")
        await in_state(path, first, "retry")  # its time is told before the clock goes on
        await eventually(lambda: path.outbox._alarm is not None)
        path.clock.advance(0.06)
        await eventually(lambda: channel.texts == ["a1", "a2"], within_s=30)


@pytest.mark.parametrize("end", ["rejected", "expired"])
async def test_what_may_have_arrived_is_never_called_failed(store: Store, end: str) -> None:
    channel = FakeChannel(keyed=True)
    channel.plan = ["drop the answer", Rejected("x")]
    async with wired(store, channel) as path:
        delivery = await in_state(path, await send(path), "retry")
        await later(path, 11 if end == "rejected" else 7200)
        held = await in_state(path, delivery.delivery_id, "unknown")
        assert held.uncertain
        assert held.ended_at is not None
        assert channel.texts == ["hello"]


# -- crashes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyed", "state", "times"), [(False, "unknown", 1), (True, "sent", 1)], ids=["held", "keyed"]
)
async def test_a_crash_while_sending(store: Store, keyed: bool, state: str, times: int) -> None:
    channel = FakeChannel(keyed=keyed)
    first = await wired(store, channel, owner="one").start()
    channel.gate = asyncio.Event()
    delivery_id = await send(first)
    await eventually(lambda: channel.calls)
    await first.crash()
    channel.gate.set()
    channel.ledger.append(channel.calls[0])  # the provider had it
    async with wired(store, channel, owner="two", clock=first.clock) as second:
        await later(second, 11)
        delivery = await in_state(second, delivery_id, state)
        assert len(channel.ledger) == times
        # What is sent again says so: a channel may look for it first.
        assert [one.may_have_arrived for one in channel.calls] == [False, True][: 1 + keyed]
        if not keyed:
            assert "stopped while sending" in (delivery.last_error or "")


async def test_another_replica_waits_for_the_lease(store: Store) -> None:
    channel = FakeChannel(keyed=True)
    channel.gate = asyncio.Event()
    first = await wired(store, channel, owner="one", alone=False).start()
    delivery_id = await send(first)
    await eventually(lambda: channel.calls)
    async with wired(store, channel, owner="two", alone=False, clock=first.clock) as second:
        await later(second, 30)
        await second.outbox._resolve_orphans(alone=False)
        assert (await in_state(second, delivery_id, "sending")).attempts == 1
        await first.crash()
        channel.gate.set()
        await later(second, 31)
        await second.outbox._resolve_orphans(alone=False)
        await later(second, 11)
        assert (await in_state(second, delivery_id, "sent")).attempts == 2


async def test_a_late_outcome_does_not_undo_a_decision(store: Store) -> None:
    channel = FakeChannel()
    channel.gate = asyncio.Event()
    first = await wired(store, channel, owner="one", alone=False).start()
    delivery_id = await send(first)
    await eventually(lambda: channel.calls)
    async with wired(store, channel, owner="two", alone=False, clock=first.clock) as second:
        await later(second, 61)
        await second.outbox._resolve_orphans(alone=False)
        await in_state(second, delivery_id, "unknown")
        await second.outbox.decide(delivery_id, resend=False)
        channel.gate.set()
        await eventually(lambda: channel.ledger)
        await first.settled()
        assert (await in_state(second, delivery_id, "discarded")).attempts == 1
    await first.crash()


async def test_an_own_send_that_takes_long_is_not_an_orphan(sqlite_store: Store) -> None:
    channel = FakeChannel()
    channel.gate = asyncio.Event()
    async with wired(sqlite_store, channel) as path:
        delivery_id = await send(path)
        await eventually(lambda: channel.calls)
        path.clock.advance(3600)
        await path.outbox._resolve_orphans(alone=False)
        channel.gate.set()
        await in_state(path, delivery_id, "sent")


async def test_two_owners_send_everything_once_and_in_order(store: Store) -> None:
    channel = FakeChannel()
    async with (
        wired(store, channel, owner="one", alone=False) as one,
        wired(store, channel, owner="two", alone=False) as two,
    ):
        for number in range(20):
            await send(one, f"a{number}", "ann")
            await send(two, f"b{number}", "bob")

        def all_sent() -> bool:
            one.outbox.wake()
            two.outbox.wake()
            return len(channel.ledger) >= 40

        await eventually(all_sent)
        for peer in "ab":
            texts = [text for text in channel.texts if text.startswith(peer)]
            assert texts == [f"{peer}{number}" for number in range(20)]


# -- when the database goes away -----------------------------------------------------------------


async def test_a_sent_message_is_recorded_as_soon_as_the_database_is_back(store: Store) -> None:
    channel = FakeChannel()
    async with wired(store, channel) as path:
        write, failures = store.write, [0]

        async def failing(work: Any, *args: Any, **kwargs: Any) -> Any:
            if work is outbox_store.settle and failures[0] < 3:
                failures[0] += 1
                raise OSError("gone")
            return await write(work, *args, **kwargs)

        replace_write(store, failing)
        sent = await in_state(path, await send(path), "sent")
        assert failures == [3]
        assert sent.attempts == 1
        assert len(channel.calls) == 1


async def test_the_outbox_survives_a_database_that_is_away(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = FakeChannel()
    async with wired(sqlite_store, channel) as path:
        calls = []

        async def away(*_: Any, **__: Any) -> Any:
            calls.append(1)
            raise OSError("gone")

        for name in ("read", "write"):
            monkeypatch.setattr(sqlite_store, name, away)
        path.clock.advance(60)  # orphans are due too
        for count in range(1, 4):
            path.outbox.wake()
            await eventually(lambda n=count: len(calls) >= n)
        monkeypatch.undo()
        await in_state(path, await send(path), "sent")
        assert path.failures == []


async def test_a_receipt_that_is_no_json_is_still_a_receipt(sqlite_store: Store) -> None:
    class Odd(FakeChannel):
        async def send(self, message: Any) -> Receipt:
            return Receipt("p1", {"raw": object()})

    async with wired(sqlite_store, Odd()) as path:
        sent = await in_state(path, await send(path), "sent")
        assert sent.receipt == {"messageId": "p1"}


# -- stopping and looking ------------------------------------------------------------------------


async def test_drain_waits_for_what_is_on_its_way(store: Store) -> None:
    channel = FakeChannel()
    channel.gate = asyncio.Event()
    async with wired(store, channel) as path:
        first = await send(path, "one")
        await eventually(lambda: channel.calls)
        draining = asyncio.ensure_future(path.outbox.drain(10))
        await path.settled()
        second = await send(path, "two", peer="bob")
        assert not draining.done()
        channel.gate.set()
        await draining
        await in_state(path, first, "sent")
        assert (await in_state(path, second, "pending")).attempts == 0


async def test_drain_gives_up_in_time(sqlite_store: Store) -> None:
    channel = FakeChannel()
    channel.plan = ["hang"]
    async with wired(sqlite_store, channel) as path:
        await send(path)
        await eventually(lambda: channel.calls)
        await path.outbox.drain(0.01)


async def test_deliveries_can_be_listed_and_counted(store: Store) -> None:
    channel = FakeChannel()
    channel.plan = [Rejected("x")]
    async with wired(store, channel) as path:
        failed = await send(path, "one")
        await in_state(path, failed, "failed")
        path.clock.advance(1)
        sent = await send(path, "two")
        await in_state(path, sent, "sent")
        listed = await store.read(outbox_store.list_deliveries)
        assert [delivery.delivery_id for delivery in listed] == [sent, failed]
        only = await store.read(outbox_store.list_deliveries, state="failed")
        assert [delivery.text for delivery in only] == ["one"]
        assert await store.read(outbox_store.counts) == {"failed": 1}
        assert await path.outbox.wait_settled(sent, 0) == listed[0]
        assert await path.outbox.wait_settled("dlv_nothing", 0) is None


async def test_a_long_text_leaves_as_several_messages_in_order(store: Store) -> None:
    class Parts(Senders):
        def pieces(self, channel: str, account: str, text: str) -> list[str]:
            return text.split("|")

    channel = FakeChannel()
    async with Path(store, senders=Parts({"fake": channel}), retry=POLICY) as path:
        for _ in range(2):  # the same again changes nothing
            first = await path.outbox.send(
                route(), "one|two|three", media=("m",), session_key=None, delivery_id="dlv_x"
            )
            assert first == "dlv_x"
        await in_state(path, "dlv_x.3", "sent")
    assert channel.texts == ["one", "two", "three"]
    assert [message.media for message in channel.ledger] == [("m",), (), ()]
    assert [message.delivery_id for message in channel.ledger] == ["dlv_x", "dlv_x.2", "dlv_x.3"]


async def test_a_delivery_is_claimed_where_its_account_runs(store: Store) -> None:
    """Another replica has the account: it is its to send."""
    theirs, ours = FakeChannel(), FakeChannel()
    async with wired(store, ours) as path:
        now = path.clock.now_ms()
        await store.write(account_store.add, [("fake", "default")], now=now)
        until = now + 30_000
        await store.write(
            account_store.begin,
            "fake",
            "default",
            owner="other",
            shared=False,
            alone=False,
            lease_until=until,
            now=now,
        )
        delivery_id = await send(path)
        await later(path, 0)
        assert ours.calls == []
        other = wired(store, theirs, owner="other", clock=path.clock)
        async with other:
            await in_state(other, delivery_id, "sent")
        assert (len(ours.calls), len(theirs.calls)) == (0, 1)
        waiting = await send(path)
        await later(path, 31)  # the other replica's lease ran out
        await in_state(path, waiting, "sent")


async def test_what_waits_is_sent_when_its_account_is_ready(store: Store) -> None:
    channel = FakeChannel()
    channel.plan = [NotReady("off")]
    async with wired(store, channel) as path:
        delivery_id = await send(path)
        await in_state(path, delivery_id, "retry")
        path.outbox.account_ready("fake", "default")
        await in_state(path, delivery_id, "sent")
        assert len(channel.calls) == 2


@pytest.mark.parametrize(("minutes", "arrives"), [(50, True), (61, False)])
async def test_an_outage_with_the_usual_settings(
    store: Store, minutes: int, *, arrives: bool
) -> None:
    """All is sent after it, in order; what waited for more than an hour is shown, not sent."""
    channel = FakeChannel()
    channel.plan = [NotReady("away") for _ in range(1_000)]
    async with wired(store, channel, retry=RetryPolicy()) as path:
        ids = [await send(path, f"a{number}") for number in range(5)]
        await in_state(path, ids[0], "retry")
        for _ in range(minutes):
            await later(path, 60)
        for delivery_id in ids if not arrives else []:
            await in_state(path, delivery_id, "expired")
        assert channel.texts == []
        channel.plan.clear()
        path.outbox.account_ready("fake", "default")
        for delivery_id in ids:
            await in_state(path, delivery_id, "sent" if arrives else "expired")
        assert channel.texts == [f"a{number}" for number in range(5) if arrives]


async def test_what_is_settled_costs_the_sender_nothing(tmp_path: FilePath) -> None:
    """No statement of the sender reads all deliveries there ever were: their number is not bounded.

    SQLite uses a partial index only where a condition is written as the index's is.
    """
    made = open_store(f"sqlite:///{tmp_path}/plans.sqlite")
    await made.start()
    await made.stop()
    sql = sqlite3.connect(tmp_path / "plans.sqlite")
    names = ("_DUE", "_EXPIRE", "_NEXT_DUE", "_HURRY", "_ORPHANS", "_CLAIM", "_SETTLE", "_FORGET")
    for name in (*names, "_LAST_POSITION", "_SENT_TO"):
        compiled = getattr(outbox_store, name).compiled("sqlite").sql
        given = [None] * compiled.count("?")
        plan = [row[3] for row in sql.execute(f"EXPLAIN QUERY PLAN {compiled}", given)]
        for step in plan:
            is_whole = step.startswith("SCAN outbox_deliveries")
            assert not is_whole or "_waiting" in step or "_open" in step, (name, plan)
            assert not step.startswith("SEARCH ahead") or "_open" in step, (name, plan)
    sql.close()


async def test_what_is_stuck_is_counted_and_listed_without_reading_what_was_sent(
    tmp_path: FilePath,
) -> None:
    made = open_store(f"sqlite:///{tmp_path}/plans.sqlite")
    await made.start()
    await made.stop()
    asked = [*outbox_store._COUNTS, outbox_store._LIST]
    asked += [outbox_store._LIST_IN_STATE[state] for state in (*outbox_store.STUCK, "pending")]
    with closing(sqlite3.connect(tmp_path / "plans.sqlite")) as sql:
        for statement in asked:
            compiled = statement.compiled("sqlite").sql
            given = [None] * compiled.count("?")
            plan = [row[3] for row in sql.execute(f"EXPLAIN QUERY PLAN {compiled}", given)]
            assert "USING" in plan[0], (compiled, plan)
