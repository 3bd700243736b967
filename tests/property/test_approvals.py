"""Approvals under any schedule: clients and agents ask, reviewers decide against each other, asks
are cancelled, time passes, and processes are killed at any commit.

What must hold: one end per approval, the same for everybody who is told of it; a yes for one time
is acted on once; nobody connected is told anything twice; in the end everything ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from portico.approvals.life import DECISIONS, ENDED_BY, TRANSITIONS, ApprovalState, Outcome, Reason
from portico.approvals.model import Approval, ApprovalAsked, Decided, NewApproval, Reviewer
from portico.approvals.policy import ExecPolicy
from portico.approvals.service import Approvals, ApprovalSettings
from portico.events.hub import Hub, Subscription
from portico.ids import ConnId, new_id
from portico.protocol.errors import ApprovalNotFound
from portico.protocol.scopes import Scope, expand
from portico.tasks import Tasks
from tests.support.clock import FakeClock
from tests.support.memory import Dead, Memory, OwnedStore
from tests.support.waiting import loop_turns

SCOPES = expand([Scope.APPROVALS])
REVIEWER = Reviewer(SCOPES, "phone", "phone", "phone")
NOBODY = Path("/nowhere/exec-approvals.json")
LASTS_S = 300.0


class Owner:
    """A gateway process with one reviewer connected, until it is killed."""

    def __init__(self, memory: Memory, clock: FakeClock, name: str, *, alone: bool) -> None:
        self.store = OwnedStore(memory)
        self.failures: list[BaseException] = []
        self.tasks = Tasks(lambda _name, error: self.failures.append(error))
        self.events: Counter[tuple[str, str]] = Counter()
        hub = Hub(epoch=name, window=0, window_bytes=0)
        hub.subscribe(Subscription(ConnId(name), self, "operator", SCOPES))
        self.asks: list[asyncio.Task[Decided]] = []
        self.waits: list[tuple[str, asyncio.Task[Approval]]] = []
        self.approvals = Approvals(
            store=self.store,
            clock=clock,
            hub=hub,
            policy=ExecPolicy(NOBODY, search_path="", clock=clock),
            tasks=self.tasks,
            owner=name,
            alone=alone,
            settings=ApprovalSettings(max_pending=50),
        )

    def send_event(self, frame: bytes, *, droppable: bool) -> bool:
        event = msgspec.json.decode(frame)
        self.events[event["event"].rpartition(".")[2], event["payload"]["id"]] += 1
        return True

    async def die(self) -> None:
        self.store.dead = True
        await self.tasks.stop()
        for task in [*self.asks, *(wait for _, wait in self.waits)]:
            task.cancel()
            with contextlib.suppress(BaseException):
                await task


class Machine(RuleBasedStateMachine):
    owners_at_once = 2

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.memory = Memory()
        self.clock = FakeClock()
        self.count = 0
        self.seen: dict[str, str] = {}
        self.told: dict[str, set[str | None]] = {}  # approval → decisions somebody was told
        self.used: list[str] = []  # runs whose ask was answered allow-once
        self.owners: list[Owner] = []
        self.run(self._open())

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.run(self._come_to_rest())
        finally:
            for owner in self.owners:
                self.run(owner.die())
            self.loop.close()
            self.memory.close()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    async def _open(self) -> None:
        while len(self.owners) < self.owners_at_once:
            self.count += 1
            alone = self.owners_at_once == 1
            owner = Owner(self.memory, self.clock, f"owner-{self.count}", alone=alone)
            await owner.approvals._watch.take_up()
            self.owners.append(owner)

    async def _settle(self) -> None:
        await loop_turns(40)
        for owner in list(self.owners):
            if owner.store.dead:
                await owner.die()
                self.owners.remove(owner)
            self._collect(owner)
        await self._open()

    def _collect(self, owner: Owner) -> None:
        for ask in [one for one in owner.asks if one.done()]:
            owner.asks.remove(ask)
            answered = not ask.cancelled() and ask.exception() is None
            if answered and ask.result().decision == "allow-once":
                self.used.append(ask.get_name())
        for approval_id, wait in [one for one in owner.waits if one[1].done()]:
            owner.waits.remove((approval_id, wait))
            if not wait.cancelled() and wait.exception() is None:
                self.told.setdefault(approval_id, set()).add(wait.result().decision)

    def _do(self, work: Any) -> None:
        async def step() -> None:
            with contextlib.suppress(Dead, ApprovalNotFound):
                await work
            await self._settle()

        self.run(step())

    # -- what happens --------------------------------------------------------------------------

    @rule(owner=st.integers(0, 1), run=st.sampled_from(["run-a", "run-b"]))
    def an_agent_asks(self, owner: int, run: str) -> None:
        who = self._owner(owner)
        asked = ApprovalAsked(command="deploy", agent_id="main", run_id=run)

        async def ask() -> None:
            task = asyncio.ensure_future(who.approvals.ask(asked, timeout_s=LASTS_S))
            task.set_name(run)
            who.asks.append(task)

        self._do(ask())

    @rule(owner=st.integers(0, 1))
    def a_client_asks(self, owner: int) -> None:
        self._do(self._request(self._owner(owner)))

    async def _request(self, who: Owner) -> None:
        now = self.clock.now_ms()
        new = NewApproval(
            approval_id=new_id("apr"),
            request={"command": "ls"},
            allowed=DECISIONS,
            origin="client",
            fingerprint="f",
            requested_by="client",
            created_at=now,
            expires_at=now + int(LASTS_S * 1000),
        )
        approval, _ = await who.approvals.request(new)
        self._wait(who, approval.approval_id)

    @rule(owner=st.integers(0, 1), data=st.data())
    def somebody_waits(self, owner: int, data: Any) -> None:
        rows = self._rows()
        if rows:
            who, approval_id = self._owner(owner), data.draw(st.sampled_from(sorted(rows)))

            async def wait() -> None:
                self._wait(who, approval_id)

            self._do(wait())

    def _wait(self, who: Owner, approval_id: str) -> None:
        who.waits.append((approval_id, asyncio.ensure_future(who.approvals.wait(approval_id))))

    @rule(
        deciders=st.lists(
            st.tuples(st.integers(0, 1), st.sampled_from(DECISIONS)), min_size=1, max_size=3
        ),
        data=st.data(),
    )
    def reviewers_decide(self, deciders: list[Any], data: Any) -> None:
        rows = self._rows()
        if rows:
            approval_id = data.draw(st.sampled_from(sorted(rows)))
            self._do(self._race(approval_id, deciders))

    async def _race(self, approval_id: str, deciders: list[Any]) -> None:
        await asyncio.gather(
            *(self._decide(self._owner(owner), approval_id, one) for owner, one in deciders),
            return_exceptions=True,
        )

    async def _decide(self, who: Owner, approval_id: str, decision: Any) -> None:
        after, outcome = await who.approvals.resolve(approval_id, decision, REVIEWER)
        if outcome in {Outcome.APPLIED, Outcome.REPEATED}:
            self.told.setdefault(approval_id, set()).add(decision)
        else:
            assert after.decision != decision
            self.told.setdefault(approval_id, set()).add(after.decision)

    @rule(owner=st.integers(0, 1))
    def an_ask_is_cancelled(self, owner: int) -> None:
        who = self._owner(owner)
        if who.asks:

            async def cancel() -> None:
                who.asks[0].cancel()

            self._do(cancel())

    @rule(owner=st.integers(0, 1), seconds=st.sampled_from([1, 40, 100, 301]))
    def time_passes(self, owner: int, seconds: int) -> None:
        self.clock.advance(seconds)
        self._do(self._owner(owner).approvals.sweep())

    @rule(owner=st.integers(0, 1))
    def a_process_is_killed(self, owner: int) -> None:
        self._owner(owner).store.dead = True
        self.run(self._settle())

    @rule(
        owner=st.integers(0, 1), commits=st.integers(0, 3), cut=st.sampled_from(["before", "after"])
    )
    def a_process_will_be_killed(self, owner: int, commits: int, cut: Any) -> None:
        self._owner(owner).store.die_in(commits, cut)

    # -- what must hold ------------------------------------------------------------------------

    def _owner(self, number: int) -> Owner:
        return self.owners[number % len(self.owners)]

    def _rows(self) -> dict[str, Any]:
        found = self.memory.select("SELECT * FROM approvals")
        return {row["approval_id"]: row for row in found}

    @invariant()
    def states_follow_the_table(self) -> None:
        if not hasattr(self, "memory"):
            return
        for key, row in self._rows().items():
            before, now = ApprovalState(self.seen.get(key, "pending")), ApprovalState(row["state"])
            assert now is before or now in TRANSITIONS.get(before, ()), f"{before} became {now}"
            self.seen[key] = now.value
            if now is not ApprovalState.PENDING:
                assert now in ENDED_BY[Reason(row["reason"])]
                assert (row["decision"] is None) == (row["reason"] != "user")

    @invariant()
    def everybody_is_told_the_same(self) -> None:
        if not hasattr(self, "memory"):
            return
        rows = self._rows()
        for key, decisions in self.told.items():
            assert decisions == {rows[key]["decision"]}, key

    @invariant()
    def a_yes_for_one_time_is_used_once(self) -> None:
        if not hasattr(self, "memory"):
            return
        granted = [row for row in self._rows().values() if row["decision"] == "allow-once"]
        assert len(self.used) <= sum(1 for row in granted if row["consumed_at"] is not None)

    @invariant()
    def nobody_is_told_twice(self) -> None:
        for owner in getattr(self, "owners", []):
            assert all(times == 1 for times in owner.events.values()), owner.events

    @invariant()
    def nothing_fails_unseen(self) -> None:
        for owner in getattr(self, "owners", []):
            assert [one for one in owner.failures if not isinstance(one, Dead)] == []

    async def _come_to_rest(self) -> None:
        for owner in self.owners:
            owner.store.commits = None
        for _ in range(12):
            self.clock.advance(100)
            for owner in self.owners:
                await owner.approvals.sweep()
            await self._settle()
        assert self.memory.select("SELECT 1 FROM approvals WHERE state = 'pending'") == []
        for owner in self.owners:
            assert owner.asks == []
            assert owner.waits == []
            told = {key for name, key in owner.events if name == "requested"}
            assert told <= {key for name, key in owner.events if name == "resolved"}


class Alone(Machine):
    owners_at_once = 1


def test_approvals_on_two_replicas() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Machine, settings=settings(stateful_step_count=30))


def test_approvals_alone() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Alone, settings=settings(stateful_step_count=30))
