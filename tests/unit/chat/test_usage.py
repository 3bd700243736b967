from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from portico.agents.runtime import Usage
from portico.chat.usage import SessionsUsage, _midnight_ms, _Sum, _zone
from portico.protocol.errors import InvalidRequest
from portico.turns.model import TurnResult


def asked(**members: object) -> SessionsUsage:
    return msgspec.json.decode(msgspec.json.encode(members), type=SessionsUsage)


def offset(params: SessionsUsage) -> timedelta | None:
    return _zone(params).utcoffset(datetime(2026, 1, 15, tzinfo=UTC).replace(tzinfo=None))


def test_days_begin_at_the_midnight_that_was_asked_for():
    assert offset(asked()) == timedelta(0)
    assert offset(asked(mode="specific", utcOffset="UTC-3:30")) == -timedelta(hours=3, minutes=30)
    assert offset(asked(mode="specific", utcOffset="UTC+14")) == timedelta(hours=14)
    assert offset(asked(timeZone="Europe/Lisbon")) == timedelta(0)
    east = _zone(asked(mode="specific", utcOffset="UTC+2"))
    assert _midnight_ms(date(1970, 1, 2), east) == 22 * 3_600_000


def test_impossible_zones_are_refused():
    for wrong in (asked(mode="specific", utcOffset="UTC+15"), asked(timeZone="../etc/passwd")):
        with pytest.raises(InvalidRequest):
            _zone(wrong)


def test_a_sum_knows_what_has_no_price():
    summed = _Sum()
    priced = TurnResult(usage=Usage(input=3, output=4, cache_read=2, cost_usd=0.5), calls=1)
    summed.add(priced, ended_at=5, ok=True)
    summed.add(TurnResult(usage=Usage(input=1), calls=1), ended_at=9, ok=False)
    summed.add(TurnResult(), ended_at=7, ok=True)
    totals = summed.totals()
    assert (totals.input, totals.output, totals.total_tokens) == (4, 4, 10)
    assert (totals.total_cost, totals.missing_cost_entries) == (0.5, 1)
    assert (summed.runs, summed.failed, summed.last_at) == (3, 1, 9)
