"""`budgets.status` and `budgets.reset`: Portico's own methods; see docs/budgets.md."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import structlog

from portico.budgets.model import NANO, Amount, Limit, Scope
from portico.budgets.service import Balances, Budgets
from portico.budgets.store import Standing
from portico.budgets.windows import FOREVER, Period
from portico.clock import Clock
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope as Permission
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

log = structlog.get_logger()

MAX_SPENDERS = 1_000

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
State = Literal["ok", "warning", "exhausted"]


class BudgetsStatus(Params, frozen=True, kw_only=True):
    """How many spenders of each limit are shown at most: those that spent most."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_SPENDERS)] = 100


class BudgetsReset(Params, frozen=True, kw_only=True):
    """Whose budget, of which limit; `id` is left out for the gateway's."""

    scope: Scope
    id: NonEmpty | None = None
    period: Period = "day"


class Sums(Result, frozen=True, kw_only=True, omit_defaults=False):
    """An amount in both units."""

    tokens: int
    usd: float


class Left(Result, frozen=True, kw_only=True):
    """What may still be reserved; only the units that are limited."""

    tokens: int | None = None
    usd: float | None = None


class Spent(Result, frozen=True, kw_only=True, omit_defaults=False):
    """One spender's standing.

    Attributes:
        id: the agent, session, customer, channel or job; empty for the gateway.
        reserved: for turns that run.
        used_percent: of the unit that is nearest to its end, without what is reserved.
    """

    id: str
    spent: Sums
    reserved: Sums
    left: Left
    used_percent: float
    state: State


class LimitView(Result, frozen=True, kw_only=True):
    """A limit, its window now, and who spends under it.

    Attributes:
        id: absent: each one of the scope for itself.
        resets_at: absent: never.
    """

    scope: Scope
    period: Period
    time_zone: str
    starts_at: int
    spenders: tuple[Spent, ...]
    id: str | None = None
    resets_at: int | None = None
    tokens: int | None = None
    usd: float | None = None
    warn_at: float | None = None


class BudgetReport(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Every budget as it stands.

    Attributes:
        estimate: what is reserved for a turn before it begins.
    """

    updated_at: int
    estimate: Sums
    limits: tuple[LimitView, ...]


class WasReset(Result, frozen=True, kw_only=True, omit_defaults=False):
    """`reset`: false when nothing had been spent."""

    ok: bool = True
    reset: bool


class BudgetMethods:
    """The methods of budgets."""

    def __init__(self, *, budgets: Budgets, clock: Clock) -> None:
        self._budgets = budgets
        self._clock = clock

    @method("budgets.status", scope=Permission.READ)
    async def status(self, call: Call, params: BudgetsStatus) -> BudgetReport:
        """Show every limit: its window, and what is spent, reserved and left."""
        found = await self._budgets.balances(most=params.limit)
        return BudgetReport(
            updated_at=self._clock.now_ms(),
            estimate=_sums(self._budgets.plan.estimate),
            limits=tuple(_view(balances) for balances in found),
        )

    @method("budgets.reset", scope=Permission.ADMIN, audit="budget.reset")
    async def reset(self, call: Call, params: BudgetsReset) -> WasReset:
        """Let one budget count from nothing again until its window ends."""
        limit = self._budgets.plan.limit_of(params.scope, params.id or "", params.period)
        if limit is None or (params.scope == "gateway") != (params.id is None):
            whom = f" {params.id}" if params.id else ""
            raise InvalidRequest(f"there is no budget per {params.period} for {params.scope}{whom}")
        done = await self._budgets.reset(limit, params.id or "")
        log.info("budget.reset", by=call.principal.subject, **msgspec.structs.asdict(params))
        return WasReset(reset=done)


def _view(balances: Balances) -> LimitView:
    limit, window = balances.limit, balances.window
    return LimitView(
        scope=limit.scope,
        id=limit.id,
        period=limit.period,
        time_zone=limit.zone.key,
        starts_at=window.starts_at,
        resets_at=None if window.ends_at == FOREVER else window.ends_at,
        tokens=limit.tokens,
        usd=None if limit.nano_usd is None else limit.nano_usd / NANO,
        warn_at=limit.warn_at,
        spenders=tuple(_spent(limit, standing) for standing in balances.standings),
    )


def _spent(limit: Limit, standing: Standing) -> Spent:
    share = limit.share(standing.spent)
    return Spent(
        id=standing.counter.subject,
        spent=_sums(standing.spent),
        reserved=_sums(standing.held),
        left=_left(limit, standing.spent + standing.held),
        used_percent=round(100 * share, 2),
        state=_state(limit, share),
    )


def _state(limit: Limit, share: float) -> State:
    if share >= 1:
        return "exhausted"
    return "warning" if limit.warn_at is not None and share >= limit.warn_at else "ok"


def _sums(amount: Amount) -> Sums:
    return Sums(tokens=amount.tokens, usd=amount.nano_usd / NANO)


def _left(limit: Limit, taken: Amount) -> Left:
    usd = None if limit.nano_usd is None else max(0, limit.nano_usd - taken.nano_usd) / NANO
    return Left(
        tokens=None if limit.tokens is None else max(0, limit.tokens - taken.tokens), usd=usd
    )
