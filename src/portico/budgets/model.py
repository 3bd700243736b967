"""What a budget is made of: limits, who spends, what is counted, and how a refusal is worded.

Guarantees: no I/O; amounts are integers, so sums are exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from portico.agents.runtime import Usage
from portico.budgets.windows import FOREVER, Period, Window, window_at

Scope = Literal["gateway", "agent", "session", "customer", "channel", "job"]

NANO = 1_000_000_000
_NAMES: Mapping[Scope, str] = {
    "gateway": "this gateway",
    "agent": "this agent",
    "session": "this conversation",
    "customer": "this account",
    "channel": "this channel",
    "job": "this job",
}


@dataclass(frozen=True, slots=True)
class Amount:
    """Tokens, and money in billionths of a US dollar."""

    tokens: int = 0
    nano_usd: int = 0

    @classmethod
    def of(cls, usage: Usage) -> Amount:
        """What model calls used; tokens read from or written to a cache count like any other."""
        tokens = usage.input + usage.output + usage.cache_read + usage.cache_write
        return cls(tokens, nano(usage.cost_usd))

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.tokens + other.tokens, self.nano_usd + other.nano_usd)

    def __bool__(self) -> bool:
        return bool(self.tokens or self.nano_usd)


def nano(usd: float) -> int:
    """Return dollars in billionths."""
    return round(usd * NANO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much may be spent in each period.

    Attributes:
        id: whom it is for; `None`: each one of the scope for itself.
        tokens, nano_usd: the most; at least one of them is set.
        warn_at: the share of it at which the operator is told; `None`: not before the end.
    """

    scope: Scope
    id: str | None = None
    period: Period = "day"
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    tokens: int | None = None
    nano_usd: int | None = None
    warn_at: float | None = None

    def has_room(self, spent: Amount) -> bool:
        """Whether so much may be spent in all."""
        return (self.tokens is None or spent.tokens <= self.tokens) and (
            self.nano_usd is None or spent.nano_usd <= self.nano_usd
        )

    def share(self, spent: Amount) -> float:
        """Return how much of it is used up: 1.0 is all of it."""
        shares = [0.0]
        if self.tokens is not None:
            shares.append(spent.tokens / self.tokens)
        if self.nano_usd is not None:
            shares.append(spent.nano_usd / self.nano_usd)
        return max(shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spender:
    """A run, as far as it matters who pays for it.

    Attributes:
        is_metered: it may use tokens, so that an estimate is reserved for it.
        timeout_s: how long it may take.
    """

    run_id: str
    agent_id: str
    session_key: str
    channel: str
    is_metered: bool = True
    timeout_s: float = 0.0


def subjects_of(spender: Spender) -> dict[Scope, str]:
    """Return who spends, by scope. Customers and jobs are named in the session's key."""
    found: dict[Scope, str] = {
        "gateway": "",
        "agent": spender.agent_id,
        "session": spender.session_key,
        "channel": spender.channel,
    }
    prefix, *parts = spender.session_key.split(":")
    rest = parts[1:] if prefix == "agent" else [prefix, *parts]
    if len(rest) > 1 and rest[0] == "customer":
        found["customer"] = unquote(rest[1])
        rest = rest[2:]
    if len(rest) > 1 and rest[0] == "cron":
        found["job"] = unquote(rest[1])
    return found


@dataclass(frozen=True, slots=True, order=True)
class Counter:
    """What is counted: one subject's spending in one window."""

    scope: Scope
    subject: str
    window: Window


@dataclass(frozen=True, slots=True)
class Due:
    """A limit that applies to a spender now, and where it counts."""

    limit: Limit
    counter: Counter


@dataclass(frozen=True, slots=True)
class Plan:
    """The budgets as configured.

    Attributes:
        estimate: what is reserved for a turn before it is dispatched.
        reservation_ms: how long a reservation nobody settles is counted.
    """

    limits: Sequence[Limit] = ()
    estimate: Amount = field(default_factory=Amount)
    reservation_ms: int = 3_600_000
    _by_subject: dict[tuple[Scope, Period], dict[str | None, Limit]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for limit in self.limits:
            self._by_subject.setdefault((limit.scope, limit.period), {})[limit.id] = limit

    def due(self, spender: Spender, now_ms: int) -> list[Due]:
        """Return the limits that apply, in the order in which their counters are locked."""
        if not self.limits:
            return []
        subjects = subjects_of(spender)
        found: list[Due] = []
        for scope, period in self._by_subject:
            subject = subjects.get(scope)
            limit = None if subject is None else self.limit_of(scope, subject, period)
            if subject is not None and limit is not None:
                found.append(Due(limit, Counter(scope, subject, window_of(limit, now_ms))))
        return sorted(found, key=lambda due: due.counter)

    def limit_of(self, scope: Scope, subject: str, period: Period) -> Limit | None:
        """Return the limit that counts for a subject: its own, else the general one."""
        by_subject = self._by_subject.get((scope, period), {})
        return by_subject.get(subject) or by_subject.get(None)


def window_of(limit: Limit, now_ms: int) -> Window:
    """Return the window a limit counts in now."""
    return window_at(limit.period, limit.zone, now_ms)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a turn is not dispatched.

    Attributes:
        is_spent: the budget is used up; else the rest of it is held by other turns.
    """

    due: Due
    is_spent: bool

    def sentence(self) -> str:
        """Return what the person is told."""
        name = _NAMES[self.due.limit.scope]
        if not self.is_spent:
            return (
                f"What is left of the budget for {name} is held by answers that are being given. "
                "Try again in a moment."
            )
        ends_at = self.due.counter.window.ends_at
        if ends_at == FOREVER:
            return f"The budget for {name} is used up. The operator can raise it."
        zone = self.due.limit.zone
        until = datetime.fromtimestamp(ends_at / 1000, zone)
        return (
            f"The budget for {name} is used up until {until.day} {until:%B %Y, %H:%M} ({zone.key})."
        )


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the operator is told once per window: a budget is nearly, or all, used up."""

    kind: Literal["warning", "exhausted"]
    due: Due
    spent: Amount
