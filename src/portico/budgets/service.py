"""Budgets: who may spend now, what was spent, and telling the operator when it runs out.

Guarantees:
    - A turn begins with its estimate reserved with every budget it is due to, or not at all.
    - What is spent passes a limit only by what turns used beyond their reservations.
    - With nothing configured, nothing is asked of the database.
    - The operator is told once per window that a budget is nearly, and that it is all, used up.

Not here: when turns reserve and settle (turns).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog

from portico.agents.runtime import Usage
from portico.budgets import store as budget_store
from portico.budgets.model import (
    NANO,
    Amount,
    Counter,
    Limit,
    Notice,
    Plan,
    Spender,
    window_of,
)
from portico.budgets.store import Decision, Standing
from portico.budgets.windows import Window
from portico.clock import Clock
from portico.observe.metrics import Metrics
from portico.store import Store, Work

log = structlog.get_logger()

FORGET_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Balances:
    """One limit in its window now: who has spent, most first."""

    limit: Limit
    window: Window
    standings: Sequence[Standing]


class Budgets:
    """The budgets of this gateway."""

    def __init__(
        self, *, store: Store, clock: Clock, plan: Plan, metrics: Metrics | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self.plan = plan
        self._metrics = metrics or Metrics()

    # -- spending --------------------------------------------------------------------------------

    async def admit(self, spender: Spender) -> str | None:
        """Reserve what a run may need; or return, for the person, why it may not begin.

        May be asked again for the same run: the newest reservation stands.
        """
        now = self._clock.now_ms()
        dues = self.plan.due(spender, now)
        if not dues:
            return None
        decision: Decision
        if spender.is_metered:
            lives_ms = max(self.plan.reservation_ms, int(spender.timeout_s * 1000))
            decision = await self._store.write(
                budget_store.reserve,
                spender.run_id,
                dues,
                self.plan.estimate,
                now=now,
                until=now + lives_ms,
            )
        else:
            decision = await self._store.read(budget_store.look, dues)
        self.tell(decision.notices)
        if decision.refusal is None:
            return None
        self._metrics.budget_refusals.inc(decision.refusal.due.limit.scope)
        return decision.refusal.sentence()

    async def pay(self, spender: Spender, usage: Usage) -> None:
        """Charge what was used outside a turn, and tell the operator what it brings about."""
        now = self._clock.now_ms()
        if self.plan.due(spender, now):
            self.tell(await self._store.write(self.settle, spender, usage, now=now))

    def settle(self, spender: Spender, usage: Usage, *, now: int) -> Work[Sequence[Notice]]:
        """The work that replaces a run's reservation by what it used; part of the run's end."""
        dues = self.plan.due(spender, now)
        if not dues:
            yield from ()
            return ()
        used = Amount.of(usage)
        return (yield from budget_store.settle(spender.run_id, dues, used, now=now))

    def charge(self, spender: Spender, usage: Usage, *, now: int) -> Work[None]:
        """The work that counts what was used outside a turn.

        The operator hears of what it brings about with the next turn.
        """
        return budget_store.charge(self.plan.due(spender, now), Amount.of(usage))

    def release(self, run_id: str) -> Work[None]:
        """The work that gives a reservation back: the run did not end and will begin again."""
        if self.plan.limits:
            yield from budget_store.release(run_id)

    def tell(self, notices: Iterable[Notice]) -> None:
        """Tell the operator, once it is committed."""
        for notice in notices:
            limit, counter = notice.due.limit, notice.due.counter
            told = log.warning if notice.kind == "exhausted" else log.info
            told(
                f"budget.{notice.kind}",
                scope=limit.scope,
                subject=counter.subject or None,
                period=limit.period,
                tokens=notice.spent.tokens,
                usd=notice.spent.nano_usd / NANO,
                limit_tokens=limit.tokens,
                limit_usd=None if limit.nano_usd is None else limit.nano_usd / NANO,
                window_ends_at=counter.window.ends_at,
            )
            self._metrics.budget_notices.inc(notice.kind, limit.scope)

    # -- looking ---------------------------------------------------------------------------------

    async def balances(self, *, most: int) -> list[Balances]:
        """Return every limit as it stands; of those for each one, `most` that spent most."""
        now = self._clock.now_ms()
        return [await self._balances(limit, most, now) for limit in self.plan.limits]

    async def _balances(self, limit: Limit, most: int, now: int) -> Balances:
        window = window_of(limit, now)
        single = "" if limit.scope == "gateway" else limit.id
        standings = await self._store.scan(
            budget_store.standings, limit.scope, window, subject=single, count=most, now=now
        )
        if single is None:  # who has a limit of his own is shown there
            limit_of = self.plan.limit_of
            standings = [
                one
                for one in standings
                if limit_of(limit.scope, one.counter.subject, limit.period) is limit
            ]
        return Balances(limit, window, standings)

    async def reset(self, limit: Limit, subject: str) -> bool:
        """Let a budget count from nothing again in this window; `False`: nothing was spent."""
        counter = Counter(limit.scope, subject, window_of(limit, self._clock.now_ms()))
        return await self._store.write(budget_store.reset, counter)

    async def forget(self, *, before_ms: int) -> int:
        """Delete what ended before a time, some at a time; return how many rows."""
        total = 0
        while count := await self._store.write(
            budget_store.forget, before_ms=before_ms, count=FORGET_AT_ONCE
        ):
            total += count
        return total
