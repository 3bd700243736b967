"""Deliveries under any schedule: a provider that accepts, loses its answer, limits, fails, refuses
or hangs; senders that are killed at any commit; people who resend and discard.

Checked against the provider's ledger: nothing is lost, only what may be doubled is, order holds.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from portico.channels.contract import AuthExpired, NotReady, RateLimited, Rejected, Transient
from portico.outbox.life import OPEN, TRANSITIONS, DeliveryState, RetryPolicy
from portico.protocol.errors import InvalidRequest
from tests.support.clock import FakeClock
from tests.support.memory import Dead, OwnedStore
from tests.support.mortals import Mortals
from tests.support.path import FakeChannel, Path, Senders, route
from tests.support.waiting import loop_turns

PEERS = ["ann", "bob"]
STEPS: dict[str, Any] = {
    "accept": lambda: "accept",
    "drop the answer": lambda: "drop the answer",
    "hang": lambda: "hang",
    "limit": lambda: RateLimited("slow", retry_after_s=20),
    "not ready": lambda: NotReady("x"),
    "transient": lambda: Transient("x"),
    "rejected": lambda: Rejected("x"),
    "auth": lambda: AuthExpired("x"),
}


class Deliveries(Mortals[Path]):
    keyed = False
    resend_unknown = False

    @initialize()
    def begin(self) -> None:
        self.channel = FakeChannel(keyed=self.keyed)
        self.policy = RetryPolicy(
            first_s=10, factor=2, longest_s=60, resend_unknown=self.resend_unknown
        )
        self.sent: dict[str, str] = {}  # delivery id → text, in order of acceptance
        self.states: dict[str, str] = {}
        self.resent: set[str] = set()
        self.found(FakeClock())

    def new_owner(self, store: OwnedStore, name: str) -> Path:
        return Path(
            store,
            owner=name,
            alone=False,
            clock=self.clock,
            senders=Senders({"fake": self.channel}),
            retry=self.policy,
        )

    @rule(owner=st.integers(0, 1), peer=st.sampled_from(PEERS))
    def say(self, owner: int, peer: str) -> None:
        text = f"{peer}-{next(self.numbers)}"
        self.run(self.step(self._say(self.owners[owner], peer, text)))

    async def _say(self, owner: Path, peer: str, text: str) -> None:
        delivery_id = await owner.outbox.send(route(peer), text, media=(), session_key=None)
        self.sent[delivery_id] = text

    @rule(steps=st.lists(st.sampled_from(list(STEPS)), min_size=1, max_size=4))
    def provider(self, steps: list[str]) -> None:
        self.channel.plan = [STEPS[step]() for step in steps]

    @rule(owner=st.integers(0, 1), seconds=st.sampled_from([1, 11, 61, 601]))
    def time_passes(self, owner: int, seconds: int) -> None:
        self.clock.advance(seconds)
        self.run(self.step(self._sweep(self.owners[owner])))

    async def _sweep(self, path: Path) -> None:
        await path.outbox._resolve_orphans(alone=False)
        path.outbox.wake()

    @rule(owner=st.integers(0, 1))
    def kill(self, owner: int) -> None:
        self.stores[owner].dead = True
        self.run(self.step())

    @rule(
        owner=st.integers(0, 1),
        commits=st.integers(0, 4),
        cut=st.sampled_from(["before", "after"]),
    )
    def kill_at_a_commit(self, owner: int, commits: int, cut: Any) -> None:
        self.stores[owner].die_in(commits, cut)

    @precondition(lambda self: self.sent)
    @rule(owner=st.integers(0, 1), resend=st.booleans(), data=st.data())
    def decide(self, owner: int, resend: bool, data: Any) -> None:
        delivery_id = data.draw(st.sampled_from(list(self.sent)))
        self.run(self.step(self._decide(self.owners[owner], delivery_id, resend=resend)))

    async def _decide(self, path: Path, delivery_id: str, *, resend: bool) -> None:
        with contextlib.suppress(InvalidRequest):
            self.resent.add(delivery_id)  # even when the answer is lost
            await path.outbox.decide(delivery_id, resend=resend)

    # -- what must hold --------------------------------------------------------------------------

    @invariant()
    def states_follow_the_table(self) -> None:
        if not hasattr(self, "memory"):
            return
        for row in self.memory.select("SELECT delivery_id, state FROM outbox_deliveries"):
            before = DeliveryState(self.states.get(row["delivery_id"], "pending"))
            now = DeliveryState(row["state"])
            assert now in _reachable(before), f"{before} became {now}"
            self.states[row["delivery_id"]] = now.value

    @invariant()
    def one_at_a_time_per_conversation(self) -> None:
        if hasattr(self, "memory"):
            found = self.memory.select(
                "SELECT conversation FROM outbox_deliveries WHERE state = 'sending' "
                "GROUP BY conversation HAVING count(*) > 1"
            )
            if not self.resent:
                assert found == []

    @invariant()
    def every_call_has_its_attempt(self) -> None:
        if hasattr(self, "memory"):
            attempts = self.memory.select("SELECT count(*) AS n FROM outbox_attempts")[0]["n"]
            assert len(self.channel.calls) <= attempts

    @invariant()
    def nothing_failed_unseen(self) -> None:
        for path in getattr(self, "owners", []):
            others = [failure for failure in path.failures if not isinstance(failure[1], Dead)]
            assert others == []

    # -- the end ---------------------------------------------------------------------------------

    async def come_to_rest(self) -> None:
        for store in self.stores:
            store.dead = True
        await self.step()
        self.channel.plan = []
        for _ in range(100):
            self.clock.advance(61)
            for path in self.owners:
                await self._sweep(path)
            await loop_turns(40)
            marks = ", ".join(f"'{state}'" for state in OPEN)
            query = f"SELECT 1 FROM outbox_deliveries WHERE state IN ({marks})"
            if not self.memory.select(query):
                return
        raise AssertionError("some deliveries do not end")

    def check_end(self) -> None:
        rows = {
            row["delivery_id"]: row for row in self.memory.select("SELECT * FROM outbox_deliveries")
        }
        assert self.sent.keys() <= rows.keys()
        received = [message.delivery_id for message in self.channel.ledger]
        for delivery_id, row in rows.items():
            times = received.count(delivery_id)
            if row["state"] == "sent":
                assert times >= 1, "said to be sent, and it was not"
            if row["state"] in {"failed", "expired"} and not self._may_double(delivery_id):
                assert times == 0, f"{row['state']}, and the provider has it"
            if not self._may_double(delivery_id):
                assert times <= 1, dict(row)
        self._check_order(received)

    def _may_double(self, delivery_id: str) -> bool:
        return not self.keyed and (self.resend_unknown or delivery_id in self.resent)

    def _check_order(self, received: list[str]) -> None:
        first = list(dict.fromkeys(received))
        for peer in PEERS:
            mine = [d for d in self.sent if self.sent[d].startswith(peer) and d in first]
            mine = [d for d in mine if d not in self.resent]
            assert [d for d in first if d in mine] == mine


def _reachable(state: DeliveryState) -> set[DeliveryState]:
    found = {state}
    while True:
        more = found.union(*(TRANSITIONS.get(each, frozenset()) for each in found))
        if more == found:
            return found
        found = more


class KeyedDeliveries(Deliveries):
    keyed = True


class ResentDeliveries(Deliveries):
    resend_unknown = True


@pytest.mark.parametrize("machine", [Deliveries, KeyedDeliveries, ResentDeliveries])
def test_deliveries(machine: type[Deliveries]) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(machine, settings=settings(stateful_step_count=40))
