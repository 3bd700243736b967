"""The hours of the day in which hearts beat, by the clock on the wall."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.automation.heartbeat.model import ActiveHours, minute_of_day
from tests.support.cron import HOUR_MS, ms

BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("start", "end", "wall", "holds"),
    [
        ("08:00", "22:00", "08:00", True),
        ("08:00", "22:00", "07:59", False),
        ("08:00", "22:00", "21:59", True),
        ("08:00", "22:00", "22:00", False),
        ("22:00", "06:00", "23:30", True),
        ("22:00", "06:00", "05:59", True),
        ("22:00", "06:00", "12:00", False),
        ("00:00", "24:00", "23:59", True),
        ("08:00", "24:00", "00:00", False),
        ("08:00", "08:00", "08:00", False),
    ],
)
def test_hours(start: str, end: str, wall: str, holds: bool) -> None:
    hours = ActiveHours(minute_of_day(start), minute_of_day(end), "UTC")
    assert hours.hold(ms(f"2026-07-01T{wall}+00:00")) is holds


def test_hours_follow_the_wall_when_clocks_change() -> None:
    hours = ActiveHours(minute_of_day("08:00"), minute_of_day("22:00"), BERLIN)
    assert not hours.hold(ms("2026-10-24T05:59+00:00"))  # summer: 07:59
    assert hours.hold(ms("2026-10-24T06:00+00:00"))
    assert not hours.hold(ms("2026-10-25T06:30+00:00"))  # winter: 07:30
    assert hours.hold(ms("2026-10-25T07:00+00:00"))


def test_hours_that_come_twice_or_not_at_all() -> None:
    hours = ActiveHours(minute_of_day("02:00"), minute_of_day("03:00"), BERLIN)
    fall = [ms("2026-10-25T00:30+00:00"), ms("2026-10-25T01:30+00:00")]
    assert [hours.hold(at) for at in fall] == [True, True]
    spring = ms("2026-03-28T23:30+00:00")
    assert not any(hours.hold(spring + step * HOUR_MS // 4) for step in range(4 * 6))


@given(
    st.integers(0, 1439),
    st.integers(0, 1440),
    st.integers(ms("2020-01-01T00:00+00:00"), ms("2030-01-01T00:00+00:00")),
    st.sampled_from([BERLIN, "America/New_York", "Asia/Kathmandu", "UTC"]),
)
def test_a_time_is_within_the_hours_or_within_those_that_are_left(
    start: int, end: int, at: int, zone: str
) -> None:
    inside = ActiveHours(start, end, zone).hold(at)
    local = datetime.fromtimestamp(at // 1000, ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    minutes = [*range(start, end)] if start <= end else [*range(start, 1440), *range(end)]
    assert inside == (minute in minutes)
