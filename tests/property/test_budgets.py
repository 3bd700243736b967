"""Budgets under any order of events: turns reserve, settle, crash, come back, expire; days pass.

The real works on a database in memory. What must hold: what is spent is what was settled, once
each; it passes a limit only by what settled turns used beyond their reservations; a reservation
that nobody settles stops counting, and what does not count is not in the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from portico.agents.runtime import Usage
from portico.budgets import store as budget_store
from portico.budgets.model import Amount, Counter, Limit, Plan, Spender
from portico.budgets.service import Budgets
from tests.support.clock import FakeClock
from tests.support.memory import Memory

ESTIMATE = 10
LIMITS = (
    Limit(scope="gateway", period="day", tokens=60, warn_at=0.5),
    Limit(scope="agent", period="hour", tokens=35),
    Limit(scope="agent", id="fox", period="hour", tokens=20),
    Limit(scope="session", period="total", tokens=45),
)
LIVES_S = 60
WHO = [("main", "a"), ("main", "b"), ("fox", "a")]


@dataclass
class Held:
    """What the model knows of a reservation."""

    counters: list[Counter]
    until: int


class BudgetMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.memory = Memory()
        self.clock = FakeClock()
        self.plan = Plan(LIMITS, Amount(ESTIMATE), reservation_ms=LIVES_S * 1000)
        self.numbers = iter(range(10**6))
        self.who: dict[str, tuple[str, str]] = {}
        self.open: list[str] = []  # runs that were admitted and have not ended
        self.held: dict[str, Held] = {}
        self.spent: dict[Counter, int] = {}
        self.excess: dict[Counter, int] = {}  # settled beyond what was reserved and counted
        self.told: set[tuple[str, Counter]] = set()

    def teardown(self) -> None:
        if hasattr(self, "memory"):
            self.memory.close()

    def spender(self, run: str) -> Spender:
        agent, session = self.who[run]
        return Spender(
            run_id=run, agent_id=agent, session_key=f"agent:{agent}:{session}", channel="c"
        )

    def do(self, work: Any) -> Any:
        return self.memory.do(work)

    # -- what may happen -------------------------------------------------------------------------

    def _reserve(self, run: str) -> bool:
        now = self.clock.now_ms()
        dues = self.plan.due(self.spender(run), now)
        self.held.pop(run, None)
        expected = all(
            self.spent.get(due.counter, 0) < (due.limit.tokens or 0)
            and self.spent.get(due.counter, 0) + self._held(due.counter) + ESTIMATE
            <= (due.limit.tokens or 0)
            for due in dues
        )
        until = now + LIVES_S * 1000
        decision = self.do(
            budget_store.reserve(run, dues, self.plan.estimate, now=now, until=until)
        )
        assert (decision.refusal is None) == expected
        self._hear(decision.notices)
        if decision.refusal is None:
            self.held[run] = Held([due.counter for due in dues], until)
        return decision.refusal is None

    def _hear(self, notices: Any) -> None:
        for notice in notices:
            known = (notice.kind, notice.due.counter)
            assert known not in self.told
            self.told.add(known)

    def _held(self, counter: Counter) -> int:
        now = self.clock.now_ms()
        return sum(
            ESTIMATE for held in self.held.values() if counter in held.counters and held.until > now
        )

    @rule(who=st.sampled_from(WHO), count=st.integers(1, 3))
    def ask(self, who: tuple[str, str], count: int) -> None:
        for _ in range(count):
            run = f"r{next(self.numbers)}"
            self.who[run] = who
            if self._reserve(run):
                self.open.append(run)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), used=st.sampled_from([0, 1, 9, 10, 11, 25]))
    def settle(self, data: Any, used: int) -> None:
        run = data.draw(st.sampled_from(self.open))
        self.open.remove(run)
        now = self.clock.now_ms()
        held = self.held.pop(run, None)
        dues = self.plan.due(self.spender(run), now)
        counters = held.counters if held else [due.counter for due in dues]
        covered = ESTIMATE if held is not None and held.until > now else 0
        budgets = Budgets(store=None, clock=self.clock, plan=self.plan)  # type: ignore[arg-type]  # its works need none
        self._hear(self.do(budgets.settle(self.spender(run), Usage(input=used), now=now)))
        for counter in counters if used else ():
            self.spent[counter] = self.spent.get(counter, 0) + used
            beyond = max(0, used - covered)
            self.excess[counter] = self.excess.get(counter, 0) + beyond

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def crash_and_begin_again(self, data: Any) -> None:
        run = data.draw(st.sampled_from(self.open))
        if not self._reserve(run):
            self.open.remove(run)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def crash_and_go_back_to_the_lane(self, data: Any) -> None:
        run = data.draw(st.sampled_from(self.open))
        self.open.remove(run)
        self.held.pop(run, None)
        self.do(budget_store.release(run))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def crash_for_good(self, data: Any) -> None:
        """Nobody ever settles it; its reservation runs out."""
        self.open.remove(data.draw(st.sampled_from(self.open)))

    @rule(seconds=st.sampled_from([1, 59, 61, 3600, 86_400]))
    def pass_time(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def keep_house(self) -> None:
        before = self.clock.now_ms() - 2 * 86_400_000
        self.do(budget_store.forget(before_ms=before, count=100))
        for run, held in list(self.held.items()):
            if held.until < before:
                del self.held[run]
        for counter in [c for c in self.spent if c.window.ends_at < before]:
            del self.spent[counter]

    # -- what must hold --------------------------------------------------------------------------

    @invariant()
    def every_settlement_counts_once(self) -> None:
        if not hasattr(self, "memory"):
            return
        for row in self.memory.select("SELECT * FROM budgets_spent"):
            counter = budget_store._counter(row)
            assert row["tokens"] == self.spent.get(counter, 0), counter

    @invariant()
    def a_limit_is_passed_only_by_what_was_not_reserved(self) -> None:
        for counter, total in getattr(self, "spent", {}).items():
            limit = next(
                limit.tokens
                for limit in LIMITS
                if limit.scope == counter.scope and limit.id in {None, counter.subject}
                if limit.id == counter.subject or counter.subject != "fox"
            )
            assert limit is not None
            assert total + self._held(counter) <= limit + self.excess.get(counter, 0)

    @invariant()
    def nothing_is_held_for_ever(self) -> None:
        if not hasattr(self, "memory"):
            return
        now = self.clock.now_ms()
        counted = self.memory.select(
            "SELECT DISTINCT run_id FROM budgets_reserved WHERE expires_at > ?", now
        )
        live = {run for run, held in self.held.items() if held.until > now}
        assert {row["run_id"] for row in counted} == live


TestBudgets = BudgetMachine.TestCase
TestBudgets.settings = settings(stateful_step_count=40)
