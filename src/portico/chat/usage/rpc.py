"""`usage.*` and `sessions.usage*`: what runs used, and how providers and budgets stand.

Source: OpenClaw gateway protocol, "sessions.usage" and "usage.cost".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from portico.agents.service import Agents
from portico.budgets.service import Budgets
from portico.chat.usage.days import OFFSET, Days, Mode, days_of, zone_of
from portico.chat.usage.shapes import aggregates, logs, points, session_usage
from portico.chat.usage.status import providers_of
from portico.chat.usage.sums import Gathered, Totals, gather, runs
from portico.clock import Clock
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.sessions import transcript
from portico.sessions.model import Session
from portico.sessions.service import Sessions
from portico.store import Store, Work

MAX_SESSIONS = 1_000
MAX_WINDOWS = 100

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Day = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class SessionsUsage(Params, frozen=True, kw_only=True):
    """Which sessions, which days, whose midnight."""

    key: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    agent_scope: Literal["all"] | None = None
    creator_key: NonEmpty | None = None
    start_date: Day | None = None
    end_date: Day | None = None
    mode: Mode = "utc"
    range: Literal["7d", "30d", "90d", "1y", "all"] | None = None
    group_by: Literal["instance", "family"] | None = None
    include_historical: bool | None = None
    utc_offset: Annotated[str, msgspec.Meta(pattern=OFFSET.pattern)] | None = None
    time_zone: NonEmpty | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] = 50
    include_context_weight: bool | None = None


class UsageCost(Params, frozen=True, kw_only=True):
    """Which days, whose midnight, which agent."""

    start_date: Day | None = None
    end_date: Day | None = None
    days: Annotated[int, msgspec.Meta(ge=1, le=3660)] | None = None
    mode: Mode = "utc"
    utc_offset: Annotated[str, msgspec.Meta(pattern=OFFSET.pattern)] | None = None
    time_zone: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    agent_scope: Literal["all"] | None = None


class SessionLogs(Params, frozen=True, kw_only=True):
    """Which session, and how many of its newest messages."""

    key: NonEmpty
    agent_id: NonEmpty | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 200


class SessionSeries(Params, frozen=True, kw_only=True):
    """Which session."""

    key: NonEmpty
    agent_id: NonEmpty | None = None


class UsageReport(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The report; `sessions` are those that used most recently."""

    updated_at: int
    start_date: str
    end_date: str
    sessions: tuple[dict[str, Any], ...]
    totals: Totals
    aggregates: dict[str, Any]
    creator_options: tuple[dict[str, Any], ...] = ()
    cache_status: dict[str, Any] = msgspec.field(default_factory=lambda: {"status": "fresh"})


class CostReport(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The totals of each day on which something ran, and of all."""

    updated_at: int
    days: int
    daily: tuple[dict[str, Any], ...]
    totals: Totals
    cache_status: dict[str, Any] = msgspec.field(default_factory=lambda: {"status": "fresh"})


class Series(Result, frozen=True, kw_only=True):
    """A session's use over time."""

    points: tuple[dict[str, Any], ...]
    session_id: str | None = None


class Logs(Result, frozen=True, kw_only=True, omit_defaults=False):
    """A session's messages with what they used."""

    logs: tuple[dict[str, Any], ...]


class ProviderStatus(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The providers, and what of them is used up."""

    updated_at: int
    providers: tuple[dict[str, Any], ...]


class UsageMethods:
    """What was used."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        sessions: Sessions,
        agents: Agents,
        budgets: Budgets,
    ) -> None:
        self._store = store
        self._clock = clock
        self._sessions = sessions
        self._agents = agents
        self._budgets = budgets

    @method("sessions.usage", scope=Scope.READ)
    async def usage(self, call: Call, params: SessionsUsage) -> UsageReport:
        """Report what runs used, in all, by session, agent, model, channel and day."""
        days = self._days(params, span=params.range)
        key = "" if params.key is None else self._sessions.key(params.key, params.agent_id)
        found = await self._store.scan(gather, days, key=key, agent=_agent(params))
        newest = sorted(found.by_session.items(), key=lambda item: -item[1].whole.last_at)
        shown = [
            session_usage(one, summed, await self._sessions.find(one))
            for one, summed in newest[: min(params.limit, MAX_SESSIONS)]
        ]
        return UsageReport(
            updated_at=self._clock.now_ms(),
            start_date=days.first.isoformat(),
            end_date=days.last.isoformat(),
            sessions=tuple(shown),
            totals=found.total.totals(),
            aggregates=aggregates(found),
        )

    @method("usage.cost", scope=Scope.READ)
    async def cost(self, call: Call, params: UsageCost) -> CostReport:
        """Report tokens and cost by day."""
        days = self._days(params, count=params.days)
        found: Gathered = await self._store.scan(gather, days, agent=_agent(params))
        return CostReport(
            updated_at=self._clock.now_ms(),
            days=days.count,
            daily=tuple(
                {"date": day, **msgspec.to_builtins(summed.totals())}
                for day, summed in sorted(found.by_day.items())
            ),
            totals=found.total.totals(),
        )

    @method("sessions.usage.timeseries", scope=Scope.READ)
    async def series(self, call: Call, params: SessionSeries) -> Series:
        """Report what a session used over time, in at most 200 points."""
        session = await self._session(params.key, params.agent_id)
        if session is None:
            return Series(points=())
        found = await self._store.scan(_points, session, now_ms=self._clock.now_ms())
        return Series(session_id=session.session_id, points=tuple(found))

    @method("sessions.usage.logs", scope=Scope.READ)
    async def logs(self, call: Call, params: SessionLogs) -> Logs:
        """Return the newest messages of a session with what they used, oldest first."""
        session = await self._session(params.key, params.agent_id)
        if session is None:
            return Logs(logs=())
        entries = await self._store.scan(transcript.history, session.session_id, limit=params.limit)
        return Logs(logs=tuple(logs(entries)))

    @method("usage.status", scope=Scope.READ)
    async def status(self, call: Call, params: Empty) -> ProviderStatus:
        """Show the providers of models and the budgets, with what of them is used up."""
        balances = await self._budgets.balances(most=MAX_WINDOWS)
        shown = providers_of(self._agents.catalog.providers(), balances)
        return ProviderStatus(updated_at=self._clock.now_ms(), providers=tuple(shown))

    async def _session(self, key: str, agent_id: str | None) -> Session | None:
        return await self._sessions.find(self._sessions.key(key, agent_id))

    def _days(
        self,
        params: SessionsUsage | UsageCost,
        *,
        span: str | None = None,
        count: int | None = None,
    ) -> Days:
        return days_of(
            now_ms=self._clock.now_ms(),
            zone=zone_of(params.mode, utc_offset=params.utc_offset, time_zone=params.time_zone),
            start=params.start_date,
            end=params.end_date,
            span=span,
            count=count,
        )


def _agent(params: SessionsUsage | UsageCost) -> str:
    return params.agent_id if params.agent_id and params.agent_scope is None else ""


def _points(session: Session, *, now_ms: int) -> Work[list[dict[str, Any]]]:
    since = session.session_started_at
    found = yield from runs(since, now_ms + 1, key=session.key)
    return points(found)
