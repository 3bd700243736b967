"""Days, zones and sums of what runs used."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from portico.agents.model.catalog import ProviderSpec
from portico.agents.runtime import Usage
from portico.budgets.model import Amount, Counter, Limit
from portico.budgets.service import Balances
from portico.budgets.store import Standing
from portico.budgets.windows import ALWAYS, Window
from portico.chat.usage.days import Mode, days_of, midnight_ms, zone_of
from portico.chat.usage.shapes import MAX_POINTS, points
from portico.chat.usage.status import providers_of
from portico.chat.usage.sums import Run, Sum
from portico.protocol.errors import InvalidRequest

NOON_MS = 1_795_262_400_000  # 2026-11-21 12:00 UTC


def offset(
    mode: Mode = "utc", *, utc_offset: str | None = None, time_zone: str | None = None
) -> timedelta | None:
    zone = zone_of(mode, utc_offset=utc_offset, time_zone=time_zone)
    return zone.utcoffset(datetime(2026, 1, 15, tzinfo=UTC).replace(tzinfo=None))


def test_days_begin_at_the_midnight_that_was_asked_for():
    assert offset() == timedelta(0)
    assert offset("specific", utc_offset="UTC-3:30") == -timedelta(hours=3, minutes=30)
    assert offset("specific", utc_offset="UTC+14") == timedelta(hours=14)
    assert offset(time_zone="Europe/Lisbon") == timedelta(0)
    east = zone_of("specific", utc_offset="UTC+2", time_zone=None)
    assert midnight_ms(date(1970, 1, 2), east) == 22 * 3_600_000


def test_impossible_zones_are_refused():
    for wrong in ({"utc_offset": "UTC+15"}, {"time_zone": "../etc/passwd"}):
        with pytest.raises(InvalidRequest):
            offset("specific", **wrong)


@pytest.mark.parametrize(
    ("asked", "first", "count"),
    [
        ({}, date(2026, 10, 23), 30),
        ({"span": "7d"}, date(2026, 11, 15), 7),
        ({"count": 1}, date(2026, 11, 21), 1),
        ({"start": "2026-11-20"}, date(2026, 11, 20), 2),
        ({"start": "2026-11-20", "end": "2026-11-20", "count": 9}, date(2026, 11, 20), 1),
        ({"span": "all"}, date(1970, 1, 2), 20_778),
    ],
)
def test_days(asked: dict[str, Any], first: date, count: int):
    given = {"start": None, "end": None, **asked}
    days = days_of(now_ms=NOON_MS, zone=UTC, **given)
    assert (days.first, days.count) == (first, count)
    assert days.since_ms <= days.until_ms - 86_400_000


def run(**changes: Any) -> Run:
    given: dict[str, Any] = {
        "session_key": "agent:main:main",
        "agent_id": "main",
        "channel": "webchat",
        "day": "2026-11-21",
        "ended_at": 5,
        "duration_ms": None,
        "ok": True,
        "usage": Usage(),
        "calls": 0,
        "model": ("lab", "m"),
        "tools": {},
        "is_turn": True,
    }
    return Run(**(given | changes))


def test_a_sum_knows_what_has_no_price():
    summed = Sum()
    usage = Usage(input=3, output=4, cache_read=2, cost_usd=0.5)
    summed.add(run(usage=usage, calls=1, tools={"look": 2}, duration_ms=10))
    summed.add(run(usage=Usage(input=1), calls=1, ok=False, ended_at=9, duration_ms=30))
    summed.add(run(ended_at=7, tools={"look": 1, "pay": 1}))
    summary = run(is_turn=False, usage=Usage(input=100), calls=1, duration_ms=99)
    summed.add(summary)
    totals = summed.totals()
    assert (totals.input, totals.output, totals.total_tokens) == (104, 4, 110)
    assert (totals.total_cost, totals.missing_cost_entries) == (0.5, 2)
    assert (summed.runs, summed.failed, summed.first_at, summed.last_at) == (3, 1, 5, 9)
    assert summed.counts() == {
        "total": 5,
        "user": 3,
        "assistant": 2,
        "toolCalls": 4,
        "toolResults": 4,
        "errors": 1,
    }
    assert summed.tool_use()["tools"] == [{"name": "look", "count": 3}, {"name": "pay", "count": 1}]
    assert summed.latency() == {"count": 2, "avgMs": 20, "p95Ms": 30, "minMs": 10, "maxMs": 30}
    assert Sum().latency() is None


def test_many_runs_are_few_points():
    runs = [
        run(ended_at=number, usage=Usage(input=2, cost_usd=0.5), calls=1) for number in range(1001)
    ]
    shown = points([*runs, run(ended_at=5000)])  # the last one used nothing
    assert len(shown) <= MAX_POINTS
    assert sum(point["totalTokens"] for point in shown) == 2002
    assert (shown[-1]["cumulativeTokens"], shown[-1]["cumulativeCost"]) == (2002, 500.5)
    assert (shown[0]["timestamp"], shown[-1]["timestamp"]) == (5, 1000)
    assert points([]) == []


def test_budgets_are_shown_as_a_provider():
    day = Limit(scope="agent", tokens=100)
    total = Limit(scope="gateway", period="total", tokens=100)
    spent = Standing(Counter("agent", "fox", Window(0, 7)), Amount(250), Amount())
    balances = [
        Balances(day, Window(0, 7), [spent]),
        Balances(total, ALWAYS, [Standing(Counter("gateway", "", ALWAYS), Amount(1), Amount())]),
    ]
    lab, budgets = providers_of([ProviderSpec("lab", "", "openai-completions")], balances)
    assert lab == {"provider": "lab", "displayName": "lab", "windows": []}
    assert budgets["windows"] == [
        {"label": "agent fox per day", "usedPercent": 100.0, "resetAt": 7},
        {"label": "gateway in all", "usedPercent": 1.0},
    ]
    assert providers_of([], []) == []
