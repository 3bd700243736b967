"""Approvals on each engine: several gateway processes on one database, and one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portico.approvals import store as approval_store
from portico.approvals.life import DECISIONS, ApprovalState, Decision, Outcome, Reason
from portico.approvals.model import Approval, ApprovalAsked, Decided, NewApproval, Reviewer
from portico.approvals.policy import ExecPolicy
from portico.approvals.service import Approvals, ApprovalSettings
from portico.approvals.watch import LEASE_MS, RETURN_MS
from portico.clock import Clock, SystemClock
from portico.events.hub import Hub, Subscription
from portico.ids import ConnId, new_id
from portico.protocol.errors import ApprovalNotFound
from portico.protocol.scopes import Scope, expand
from portico.store import Store
from portico.tasks import Tasks
from tests.support.clock import FakeClock
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

SCOPES = expand([Scope.APPROVALS])
PHONE = Reviewer(SCOPES, "phone", "Phone", "phone")


class Process:
    """A gateway process, as far as approvals go."""

    def __init__(
        self, store: Store, clock: Clock, folder: Path, name: str, *, alone: bool = False
    ) -> None:
        self.name = name
        self.failures: list[BaseException] = []
        self.events: list[tuple[str, str, str | None]] = []
        self.tasks = Tasks(lambda _name, error: self.failures.append(error))
        self.hub = Hub(epoch=name, window=0, window_bytes=0)
        self.approvals = Approvals(
            store=store,
            clock=clock,
            hub=self.hub,
            policy=ExecPolicy(folder / "policy.json", search_path="/usr/bin:/bin", clock=clock),
            tasks=self.tasks,
            owner=name,
            alone=alone,
            settings=ApprovalSettings(),
        )

    def connect(self) -> None:
        """Let a reviewer connect."""
        self.hub.subscribe(Subscription(ConnId(self.name), self, "operator", SCOPES, "phone"))

    def disconnect(self) -> None:
        self.hub.unsubscribe(ConnId(self.name))

    def send_event(self, frame: bytes, *, droppable: bool) -> bool:
        event = msgspec.json.decode(frame)
        what = event["event"].rpartition(".")[2]
        self.events.append((what, event["payload"]["id"], event["payload"].get("reason")))
        return True

    def told(self) -> list[tuple[str, str | None]]:
        return [(what, reason) for what, _, reason in self.events]


Open = Callable[..., Process]


@asynccontextmanager
async def processes(store: Store, folder: Path, clock: Clock) -> AsyncIterator[Open]:
    opened: list[Process] = []

    def open_(name: str, **how: Any) -> Process:
        opened.append(Process(store, clock, folder, name, **how))
        return opened[-1]

    yield open_
    for one in opened:
        await one.tasks.stop()
        assert one.failures == []


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def start(store: Store, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Open]:
    async with processes(store, tmp_path, clock) as opened:
        yield opened


def new(clock: Clock, **more: Any) -> NewApproval:
    now = clock.now_ms()
    return NewApproval(
        **{
            "approval_id": new_id("apr"),
            "request": {"command": "ls"},
            "allowed": DECISIONS,
            "origin": "client",
            "fingerprint": "f",
            "requested_by": "client",
            "created_at": now,
            "expires_at": now + 60_000,
            **more,
        }
    )


ASKED = ApprovalAsked(command="deploy now", agent_id="main", run_id="run-1", tool_call_id="call-1")


def ask(process: Process, asked: ApprovalAsked = ASKED) -> asyncio.Task[Decided]:
    return asyncio.ensure_future(process.approvals.ask(asked, timeout_s=3_000))


async def only(process: Process) -> Approval:
    async def found() -> Any:
        return await process.approvals.list_pending(PHONE)

    (approval,) = await eventually(found)
    await eventually(lambda: process.approvals._board.waiting)
    return approval


async def test_what_is_written_is_read_back(store: Store, clock: FakeClock):
    given = new(
        clock,
        reviewers=("a", "b"),
        silent=True,
        request={"command": "échô 🎉", "nested": {"a": [1, None]}},
        allowed=("allow-once", "deny"),
    )
    put = await store.write(approval_store.put, given, owner="o", lease_until=7, most=9)
    found = await store.read(approval_store.find, given.approval_id)
    assert found == put
    assert found is not None
    assert (found.request, found.allowed, found.reviewers) == (
        given.request,
        given.allowed,
        given.reviewers,
    )
    assert (found.silent, found.owner, found.lease_until) == (True, "o", 7)
    assert found.is_pending
    assert await store.read(approval_store.find, "nobody") is None


async def test_decided_in_one_process_known_in_the_other(start: Open, clock: FakeClock):
    one, other = start("one"), start("other")
    for process in (one, other):
        process.connect()
    approval, route = await one.approvals.request(new(clock))
    assert route == "approval-client"
    waiting = asyncio.ensure_future(one.approvals.wait(approval.approval_id))
    await other.approvals.sweep()
    assert other.told() == [("requested", None)]
    _, outcome = await other.approvals.resolve(approval.approval_id, "allow-once", PHONE)
    assert outcome is Outcome.APPLIED
    assert not waiting.done()
    await one.approvals.sweep()
    assert (await waiting).decision == "allow-once"
    await other.approvals.sweep()
    assert one.told() == other.told() == [("requested", None), ("resolved", "user")]


async def test_a_reviewer_at_another_process_counts(start: Open, clock: FakeClock):
    one, other = start("one"), start("other")
    other.connect()
    await other.approvals.sweep()
    _, route = await one.approvals.request(new(clock))
    assert route == "approval-client"
    other.disconnect()
    await other.approvals.sweep()
    ended, route = await one.approvals.request(new(clock))
    assert (route, ended.reason) == ("none", Reason.NO_ROUTE)
    other.connect()
    await other.approvals.sweep()
    clock.advance(11)  # it was killed and could not say goodbye
    ended, route = await one.approvals.request(new(clock))
    assert (route, ended.reason) == ("none", Reason.NO_ROUTE)


async def test_one_process_expires_it_and_all_tell_their_clients(start: Open, clock: FakeClock):
    several = [start(str(number)) for number in range(4)]
    for process in several:
        process.connect()
    approval, _ = await several[0].approvals.request(new(clock))
    for process in several:
        await process.approvals.sweep()
    clock.advance(60)
    for _ in range(2):
        await asyncio.gather(*(process.approvals.sweep() for process in several))
    for process in several:
        assert process.told() == [("requested", None), ("resolved", "timeout")]
    with pytest.raises(ApprovalNotFound):
        await several[1].approvals.wait("nobody")
    ended = await several[1].approvals.wait(approval.approval_id)
    assert ended.state is ApprovalState.EXPIRED


async def test_many_deciders_in_many_processes_make_one_decision(start: Open, clock: FakeClock):
    several = [start(str(number)) for number in range(3)]
    several[0].connect()
    approval, _ = await several[0].approvals.request(new(clock))
    made = await asyncio.gather(
        *(
            process.approvals.resolve(approval.approval_id, decision, PHONE)
            for process in several
            for decision in DECISIONS
        )
    )
    outcomes = [outcome for _, outcome in made]
    assert outcomes.count(Outcome.APPLIED) == 1
    assert len({after.decision for after, _ in made}) == 1


async def test_a_decision_that_comes_too_late_expires_it(start: Open, clock: FakeClock):
    one = start("one", alone=True)
    one.connect()
    approval, _ = await one.approvals.request(new(clock))
    clock.advance(60)
    after, outcome = await one.approvals.resolve(approval.approval_id, "allow-once", PHONE)
    assert (outcome, after.reason) == (Outcome.OVER, Reason.TIMEOUT)
    assert one.told() == [("requested", None), ("resolved", "timeout")]
    assert await one.approvals.list_pending(PHONE) == []


async def test_an_approval_outlives_the_process_that_was_asked(start: Open, clock: FakeClock):
    before = start("before", alone=True)
    before.connect()
    approval, _ = await before.approvals.request(new(clock))
    after = start("after", alone=True)
    await after.approvals._watch.take_up()
    after.connect()
    waiting = asyncio.ensure_future(after.approvals.wait(approval.approval_id))
    assert [one.approval_id for one in await after.approvals.list_pending(PHONE)] == [
        approval.approval_id
    ]
    await after.approvals.resolve(approval.approval_id, "deny", PHONE)
    assert (await waiting).decision == "deny"
    assert after.told() == [("resolved", "user")]


async def test_a_resumed_run_joins_what_it_asked_before(start: Open):
    before = start("before", alone=True)
    before.connect()
    asked = ask(before)
    approval = await only(before)
    before.approvals.detach()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await before.tasks.stop()
    after = start("after", alone=True)
    await after.approvals._watch.take_up()
    again = ask(after)  # nobody is connected yet; that does not end it
    assert (await only(after)).approval_id == approval.approval_id
    await asyncio.sleep(0.02)
    assert not again.done()
    await after.approvals.resolve(approval.approval_id, "allow-once", PHONE)
    assert (await again).decision == "allow-once"


async def test_a_decision_made_before_the_run_is_resumed_is_used_once(
    start: Open, clock: FakeClock
):
    before = start("before", alone=True)
    before.connect()
    asked = ask(before)
    approval = await only(before)
    before.approvals.detach()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    after = start("after", alone=True)
    await after.approvals._watch.take_up()
    await after.approvals.resolve(approval.approval_id, "allow-once", PHONE)
    assert (await ask(after)).decision == "allow-once"
    assert (await ask(after)).reason == "no-approval-route"  # the next time is another time


@pytest.mark.parametrize(("alone", "wait_ms"), [(True, RETURN_MS), (False, LEASE_MS)])
async def test_what_nobody_comes_back_for_is_cancelled(
    start: Open, clock: FakeClock, alone: bool, wait_ms: int
):
    before = start("before", alone=alone)
    before.connect()
    asked = ask(before)
    approval = await only(before)
    before.approvals.detach()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    after = start("after", alone=alone)
    await after.approvals._watch.take_up()
    after.connect()
    await after.approvals.sweep()
    assert len(await after.approvals.list_pending(PHONE)) == 1
    clock.advance(wait_ms / 1000 + 1)
    await after.approvals.sweep()
    ended = await after.approvals.find(approval.approval_id)
    assert ended is not None
    assert (ended.state, ended.reason) == (ApprovalState.CANCELLED, Reason.GATEWAY_RESTART)
    assert after.told()[-1] == ("resolved", "gateway-restart")


async def test_what_a_living_process_asks_is_not_cancelled(start: Open, clock: FakeClock):
    one, other = start("one"), start("other")
    one.connect()
    asked = ask(one)
    await only(one)
    for _ in range(5):
        clock.advance(LEASE_MS / 2000)
        await one.approvals.sweep()
        await other.approvals.sweep()
    assert not asked.done()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await eventually(lambda: one.told()[-1] == ("resolved", "run-aborted"))


async def test_the_watch_reaches_other_processes_by_itself(store: Store, tmp_path: Path):
    clock = SystemClock()
    async with processes(store, tmp_path, clock) as opened:
        one, other = opened("one"), opened("other")
        for process in (one, other):
            await process.approvals.start()
            process.connect()
        soon = new(clock, expires_at=clock.now_ms() + 100)
        expired = await one.approvals.request(soon)
        assert (await other.approvals.wait(expired[0].approval_id)).reason is Reason.TIMEOUT
        approval, _ = await one.approvals.request(new(clock))
        waiting = asyncio.ensure_future(one.approvals.wait(approval.approval_id))
        await other.approvals.resolve(approval.approval_id, "deny", PHONE)
        assert (await waiting).decision == "deny"
        both = [("requested", None), ("resolved", "timeout")]
        both += [("requested", None), ("resolved", "user")]
        await eventually(lambda: one.told() == both)


async def test_alone_with_nothing_to_do_the_watch_does_nothing(store: Store, tmp_path: Path):
    async with processes(store, tmp_path, SystemClock()) as opened:
        one = opened("one", alone=True)
        await one.approvals.start()
        assert one.approvals._watch._pause_s() is None


async def test_old_ends_are_forgotten_and_what_waits_is_not(
    start: Open, store: Store, clock: FakeClock
):
    one = start("one", alone=True)
    one.connect()
    decisions: list[Decision] = ["deny", "allow-once"]
    for decision in decisions:
        approval, _ = await one.approvals.request(new(clock))
        await one.approvals.resolve(approval.approval_id, decision, PHONE)
    waits, _ = await one.approvals.request(new(clock))
    assert await one.approvals.forget(before_ms=clock.now_ms() + 1) == 2
    assert await one.approvals.find(waits.approval_id) is not None
    assert (
        await store.scan(approval_store.list_ended, before_ms=1 << 62, before_id="", count=9) == []
    )
