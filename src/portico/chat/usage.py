"""`sessions.usage` and `usage.cost`: what runs used, by session and by day.

Guarantees: the sums are over ended runs of the days asked for, wherever their session is now; a
session that was reset or deleted still counts. Costs are those the runtimes reported.

Source: OpenClaw gateway protocol, "sessions.usage" and "usage.cost".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from sqlalchemy import bindparam, or_, select

from portico.clock import Clock
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.sessions.model import Session
from portico.sessions.service import Sessions
from portico.store import Store, Work, statement
from portico.turns.model import TurnResult
from portico.turns.tables import turns

DAY_MS = 86_400_000
DEFAULT_DAYS = 30
MAX_SESSIONS = 1_000
_RANGE_DAYS = {"7d": 7, "30d": 30, "90d": 90, "1y": 365}
_OFFSET = re.compile(r"^UTC([+-])(\d{1,2})(?::([0-5]\d))?$")

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
    mode: Literal["utc", "gateway", "specific"] = "utc"
    range: Literal["7d", "30d", "90d", "1y", "all"] | None = None
    group_by: Literal["instance", "family"] | None = None
    include_historical: bool | None = None
    utc_offset: Annotated[str, msgspec.Meta(pattern=_OFFSET.pattern)] | None = None
    time_zone: NonEmpty | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] = 50
    include_context_weight: bool | None = None


class UsageCost(Params, frozen=True, kw_only=True):
    """Which days, whose midnight, which agent."""

    start_date: Day | None = None
    end_date: Day | None = None
    days: Annotated[int, msgspec.Meta(ge=1, le=3660)] | None = None
    mode: Literal["utc", "gateway", "specific"] = "utc"
    utc_offset: Annotated[str, msgspec.Meta(pattern=_OFFSET.pattern)] | None = None
    time_zone: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    agent_scope: Literal["all"] | None = None


class Totals(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Tokens and cost of some runs."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    total_tokens: int = 0
    total_cost: float = 0.0
    input_cost: float = 0.0
    output_cost: float = 0.0
    cache_read_cost: float = 0.0
    cache_write_cost: float = 0.0
    missing_cost_entries: int = 0


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


@dataclass(slots=True)
class _Sum:
    runs: int = 0
    failed: int = 0
    tokens: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    cost: float = 0.0
    without_cost: int = 0
    last_at: int = 0

    def add(self, result: TurnResult, *, ended_at: int, ok: bool) -> None:
        """Count one run."""
        usage = result.usage
        self.runs += 1
        self.failed += not ok
        counts = (usage.input, usage.output, usage.cache_read, usage.cache_write)
        self.tokens = [a + b for a, b in zip(self.tokens, counts, strict=True)]
        self.cost += usage.cost_usd
        self.without_cost += bool(result.calls) and not usage.cost_usd
        self.last_at = max(self.last_at, ended_at)

    def totals(self) -> Totals:
        """Return the sum as it is shown."""
        read, written, cache_read, cache_write = self.tokens
        return Totals(
            input=read,
            output=written,
            cache_read=cache_read,
            cache_write=cache_write,
            total_tokens=sum(self.tokens),
            total_cost=round(self.cost, 8),
            missing_cost_entries=self.without_cost,
        )


_ENDED = statement(
    select(turns.c.session_key, turns.c.agent_id, turns.c.state, turns.c.result, turns.c.ended_at)
    .where(
        turns.c.ended_at >= bindparam("since"),
        turns.c.ended_at < bindparam("until"),
        or_(bindparam("key") == "", turns.c.session_key == bindparam("key")),
        or_(bindparam("agent") == "", turns.c.agent_id == bindparam("agent")),
    )
    .order_by(turns.c.ended_at)
)


@dataclass(slots=True)
class _Gathered:
    total: _Sum = field(default_factory=_Sum)
    by_session: dict[str, _Sum] = field(default_factory=dict)
    by_agent: dict[str, _Sum] = field(default_factory=dict)
    by_model: dict[tuple[str, str], _Sum] = field(default_factory=dict)
    by_day: dict[str, _Sum] = field(default_factory=dict)


class UsageMethods:
    """`sessions.usage` and `usage.cost`."""

    def __init__(self, *, store: Store, clock: Clock, sessions: Sessions) -> None:
        self._store = store
        self._clock = clock
        self._sessions = sessions

    @method("sessions.usage", scope=Scope.READ)
    async def usage(self, call: Call, params: SessionsUsage) -> UsageReport:
        """Report what runs used, in all, by session, by agent, by model and by day."""
        zone = _zone(params)
        first, last = self._days(params, zone)
        key = "" if params.key is None else self._sessions.key(params.key, params.agent_id)
        agent = params.agent_id if params.agent_id and params.agent_scope is None else ""
        found = await self._store.scan(
            _gather,
            since=_midnight_ms(first, zone),
            until=_midnight_ms(last + timedelta(days=1), zone),
            key=key,
            agent=agent,
            zone=zone,
        )
        newest = sorted(found.by_session.items(), key=lambda item: -item[1].last_at)
        shown = [
            _session(one, summed, await self._sessions.find(one))
            for one, summed in newest[: min(params.limit, MAX_SESSIONS)]
        ]
        return UsageReport(
            updated_at=self._clock.now_ms(),
            start_date=first.isoformat(),
            end_date=last.isoformat(),
            sessions=tuple(shown),
            totals=found.total.totals(),
            aggregates=_aggregates(found),
        )

    @method("usage.cost", scope=Scope.READ)
    async def cost(self, call: Call, params: UsageCost) -> CostReport:
        """Report tokens and cost by day."""
        names = ("start_date", "end_date", "mode", "utc_offset", "time_zone")
        asked = SessionsUsage(**{name: getattr(params, name) for name in names})
        zone = _zone(asked)
        first, last = self._days(asked, zone)
        if params.days is not None and params.start_date is None:
            first = last - timedelta(days=params.days - 1)
        found = await self._store.scan(
            _gather,
            since=_midnight_ms(first, zone),
            until=_midnight_ms(last + timedelta(days=1), zone),
            key="",
            agent=params.agent_id if params.agent_id and params.agent_scope is None else "",
            zone=zone,
        )
        return CostReport(
            updated_at=self._clock.now_ms(),
            days=(last - first).days + 1,
            daily=tuple(
                {"date": day, **msgspec.to_builtins(summed.totals())}
                for day, summed in sorted(found.by_day.items())
            ),
            totals=found.total.totals(),
        )

    def _days(self, params: SessionsUsage, zone: tzinfo) -> tuple[date, date]:
        today = datetime.fromtimestamp(self._clock.now_ms() / 1000, zone).date()
        try:
            last = date.fromisoformat(params.end_date) if params.end_date else today
            if params.start_date:
                first = date.fromisoformat(params.start_date)
            elif params.range == "all":
                first = date(1970, 1, 2)
            else:
                days = _RANGE_DAYS.get(params.range or "", DEFAULT_DAYS)
                first = last - timedelta(days=days - 1)
        except (ValueError, OverflowError):
            raise InvalidRequest("invalid sessions.usage params: not a date") from None
        if first > last:
            raise InvalidRequest("invalid sessions.usage params: startDate is after endDate")
        return first, last


def _gather(*, since: int, until: int, key: str, agent: str, zone: tzinfo) -> Work[_Gathered]:
    found = _Gathered()
    decoder = msgspec.json.Decoder(TurnResult)
    for row in (yield _ENDED(since=since, until=until, key=key, agent=agent)):
        if row["result"] is None:
            continue
        result = decoder.decode(row["result"])
        ended_at = row["ended_at"]
        day = datetime.fromtimestamp(ended_at / 1000, zone).date().isoformat()
        model = (result.provider or "unknown", result.model or "unknown")
        for summed in (
            found.total,
            found.by_session.setdefault(row["session_key"], _Sum()),
            found.by_agent.setdefault(row["agent_id"], _Sum()),
            found.by_model.setdefault(model, _Sum()),
            found.by_day.setdefault(day, _Sum()),
        ):
            summed.add(result, ended_at=ended_at, ok=row["state"] == "succeeded")
    return found


def _session(key: str, summed: _Sum, session: Session | None) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "key": key,
        "updatedAt": summed.last_at,
        "usage": {**msgspec.to_builtins(summed.totals()), "messageCounts": _counts(summed)},
    }
    if session is not None:
        shown |= {
            "sessionId": session.session_id,
            "agentId": session.agent_id,
            "channel": session.channel,
            "chatType": session.chat_type,
            "updatedAt": session.updated_at,
        }
        if session.label:
            shown["label"] = session.label
    return shown


def _counts(summed: _Sum) -> dict[str, int]:
    return {"total": summed.runs, "assistant": summed.runs - summed.failed, "errors": summed.failed}


def _aggregates(found: _Gathered) -> dict[str, Any]:
    return {
        "messages": _counts(found.total),
        "byAgent": [
            {"agentId": agent, "totals": summed.totals()}
            for agent, summed in sorted(found.by_agent.items())
        ],
        "byModel": [
            {"provider": p, "model": m, "count": summed.runs, "totals": summed.totals()}
            for (p, m), summed in sorted(found.by_model.items())
        ],
        "daily": [
            {
                "date": day,
                "tokens": sum(summed.tokens),
                "cost": round(summed.cost, 8),
                "messages": summed.runs,
                "errors": summed.failed,
            }
            for day, summed in sorted(found.by_day.items())
        ],
    }


def _zone(params: SessionsUsage) -> tzinfo:
    if params.mode == "gateway":
        local = datetime.fromtimestamp(0, UTC).astimezone().tzinfo
        return local or UTC
    if params.time_zone is not None:
        try:
            return ZoneInfo(params.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise InvalidRequest(f"unknown time zone: {params.time_zone}") from None
    offset = _OFFSET.match(params.utc_offset or "")
    if params.mode == "specific" and offset is not None:
        sign = -1 if offset.group(1) == "-" else 1
        hours, minutes = int(offset.group(2)), int(offset.group(3) or 0)
        if hours > 14:
            raise InvalidRequest("invalid sessions.usage params: utcOffset is out of range")
        return timezone(sign * timedelta(hours=hours, minutes=minutes))
    return UTC


def _midnight_ms(day: date, zone: tzinfo) -> int:
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return int(midnight.timestamp() * 1000)
