"""Adding up what runs used.

Guarantees: the sums are over ended runs, wherever their session is now; a session that was reset or
deleted still counts. Costs are those the runtimes reported. What was spent outside turns
(summaries) counts as use, not as a message.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import bindparam, or_, select

from portico.agents.runtime import Usage
from portico.chat.usage.days import Days
from portico.protocol.validation import Result
from portico.store import Work, statement
from portico.turns.spending import PURPOSE
from portico.turns.tables import turns

MAX_DURATIONS = 10_000  # of one sum; enough for a 95th percentile
UNKNOWN = "unknown"
c = turns.c

_ENDED = statement(
    select(
        c.session_key,
        c.agent_id,
        c.state,
        c.result,
        c.reply_route,
        c.started_at,
        c.ended_at,
    )
    .where(
        c.ended_at >= bindparam("since"),
        c.ended_at < bindparam("until"),
        or_(bindparam("key") == "", c.session_key == bindparam("key")),
        or_(bindparam("agent") == "", c.agent_id == bindparam("agent")),
    )
    .order_by(c.ended_at)
)


class Totals(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Tokens and cost of some runs. What each kind of token cost is not known, and 0."""

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


class _Ended(msgspec.Struct, rename="camel"):
    """What is needed of a run's result."""

    usage: Usage = msgspec.field(default_factory=Usage)
    calls: int = 0
    provider: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    tools: dict[str, int] = msgspec.field(default_factory=dict)


class _Route(msgspec.Struct):
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One ended run."""

    session_key: str
    agent_id: str
    channel: str
    day: str
    ended_at: int
    duration_ms: int | None
    ok: bool
    usage: Usage
    calls: int
    model: tuple[str, str]
    tools: dict[str, int]
    is_turn: bool


@dataclass(slots=True)
class Sum:
    """Some runs together."""

    runs: int = 0
    failed: int = 0
    tokens: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    cost: float = 0.0
    without_cost: int = 0
    first_at: int = 0
    last_at: int = 0
    tools: Counter[str] = field(default_factory=Counter)
    durations: list[int] = field(default_factory=list)

    def add(self, run: Run) -> None:
        """Count one run."""
        usage = run.usage
        self.runs += run.is_turn
        self.failed += run.is_turn and not run.ok
        counts = (usage.input, usage.output, usage.cache_read, usage.cache_write)
        self.tokens = [a + b for a, b in zip(self.tokens, counts, strict=True)]
        self.cost += usage.cost_usd
        self.without_cost += bool(run.calls) and not usage.cost_usd
        self.first_at = min(self.first_at or run.ended_at, run.ended_at)
        self.last_at = max(self.last_at, run.ended_at)
        self.tools.update(run.tools)
        if run.duration_ms is not None and run.is_turn and len(self.durations) < MAX_DURATIONS:
            self.durations.append(run.duration_ms)

    @property
    def total_tokens(self) -> int:
        """Tokens of every kind."""
        return sum(self.tokens)

    def totals(self) -> Totals:
        """Return the sum as it is shown."""
        read, written, cache_read, cache_write = self.tokens
        return Totals(
            input=read,
            output=written,
            cache_read=cache_read,
            cache_write=cache_write,
            total_tokens=self.total_tokens,
            total_cost=round(self.cost, 8),
            missing_cost_entries=self.without_cost,
        )

    def counts(self) -> dict[str, int]:
        """Return the messages: one of a person for each run, one of the agent if it answered."""
        called = self.tools.total()
        return {
            "total": 2 * self.runs - self.failed,
            "user": self.runs,
            "assistant": self.runs - self.failed,
            "toolCalls": called,
            "toolResults": called,
            "errors": self.failed,
        }

    def tool_use(self) -> dict[str, Any]:
        """Return which tools were called how often."""
        named = [{"name": name, "count": count} for name, count in self.tools.most_common()]
        return {"totalCalls": self.tools.total(), "uniqueTools": len(named), "tools": named}

    def latency(self) -> dict[str, float] | None:
        """Return how long runs took; `None`: nothing ran."""
        if not self.durations:
            return None
        ordered = sorted(self.durations)
        return {
            "count": len(ordered),
            "avgMs": round(sum(ordered) / len(ordered)),
            "p95Ms": ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)],
            "minMs": ordered[0],
            "maxMs": ordered[-1],
        }


@dataclass(slots=True)
class SessionSum:
    """The runs of one session."""

    whole: Sum = field(default_factory=Sum)
    by_day: defaultdict[str, Sum] = field(default_factory=partial(defaultdict, Sum))
    by_model: defaultdict[tuple[str, str], Sum] = field(default_factory=partial(defaultdict, Sum))


@dataclass(slots=True)
class Gathered:
    """All runs of some days, from every side."""

    total: Sum = field(default_factory=Sum)
    by_session: defaultdict[str, SessionSum] = field(
        default_factory=partial(defaultdict, SessionSum)
    )
    by_agent: defaultdict[str, Sum] = field(default_factory=partial(defaultdict, Sum))
    by_channel: defaultdict[str, Sum] = field(default_factory=partial(defaultdict, Sum))
    by_model: defaultdict[tuple[str, str], Sum] = field(default_factory=partial(defaultdict, Sum))
    by_day: defaultdict[str, Sum] = field(default_factory=partial(defaultdict, Sum))
    by_day_and_model: defaultdict[tuple[str, tuple[str, str]], Sum] = field(
        default_factory=partial(defaultdict, Sum)
    )

    def add(self, run: Run) -> None:
        """Count one run everywhere."""
        session = self.by_session[run.session_key]
        for summed in (
            self.total,
            session.whole,
            session.by_day[run.day],
            session.by_model[run.model],
            self.by_agent[run.agent_id],
            self.by_channel[run.channel],
            self.by_model[run.model],
            self.by_day[run.day],
            self.by_day_and_model[run.day, run.model],
        ):
            summed.add(run)


def gather(days: Days, *, key: str = "", agent: str = "") -> Work[Gathered]:
    """Add up the runs that ended on some days.

    Args:
        key, agent: only this session's or agent's; empty: everybody's.
    """
    found = Gathered()
    ended = runs(days.since_ms, days.until_ms, zone=days.zone, key=key, agent=agent)
    for run in (yield from ended):
        found.add(run)
    return found


def runs(
    since_ms: int, until_ms: int, *, zone: tzinfo = UTC, key: str = "", agent: str = ""
) -> Work[Iterable[Run]]:
    """Return the runs that ended between two times, oldest first."""
    rows = yield _ENDED(since=since_ms, until=until_ms, key=key, agent=agent)
    results, routes = msgspec.json.Decoder(_Ended), msgspec.json.Decoder(_Route)

    def run_of(row: Any) -> Run:
        result: _Ended = results.decode(row["result"])
        started, ended = row["started_at"], row["ended_at"]
        return Run(
            session_key=row["session_key"],
            agent_id=row["agent_id"],
            channel=routes.decode(row["reply_route"]).channel or UNKNOWN,
            day=datetime.fromtimestamp(ended / 1000, zone).date().isoformat(),
            ended_at=ended,
            duration_ms=None if started is None else ended - started,
            ok=row["state"] == "succeeded",
            usage=result.usage,
            calls=result.calls,
            model=(result.provider or UNKNOWN, result.model or UNKNOWN),
            tools=result.tools,
            is_turn=result.stop_reason != PURPOSE,
        )

    return (run_of(row) for row in rows if row["result"] is not None)
