"""Hours, days and months of any time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.budgets.windows import ALWAYS, HOUR_MS, Period, Window, window_at

ZONES = sorted(available_timezones() - {"localtime", "Factory"})
YEARS_MS = (0, 4_000_000_000_000)  # 1970 to 2096


def ms(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("period", "zone", "now", "starts", "ends"),
    [
        ("day", "UTC", "2026-11-21T13:00", "2026-11-21T00:00", "2026-11-22T00:00"),
        ("day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-29T00:00", "2026-03-30T00:00"),
        ("month", "Asia/Tokyo", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("month", "UTC", "2028-02-29T00:00", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("hour", "Asia/Kolkata", "2026-11-21T13:10", "2026-11-21T13:00", "2026-11-21T14:00"),
    ],
)
def test_windows(period: Period, zone: str, now: str, starts: str, ends: str) -> None:
    found = window_at(period, ZoneInfo(zone), ms(now, zone))
    assert found == Window(ms(starts, zone), ms(ends, zone))


def test_a_day_in_which_the_clock_is_changed_is_longer_or_shorter() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    spring = window_at("day", berlin, ms("2026-03-29T12:00", "Europe/Berlin"))
    autumn = window_at("day", berlin, ms("2026-10-25T12:00", "Europe/Berlin"))
    assert (spring.ends_at - spring.starts_at) / HOUR_MS == 23
    assert (autumn.ends_at - autumn.starts_at) / HOUR_MS == 25


def test_the_total_never_ends() -> None:
    assert window_at("total", UTC, ms("2026-11-21T13:00")) == ALWAYS


@given(st.sampled_from(["hour", "day", "month"]), st.sampled_from(ZONES), st.integers(*YEARS_MS))
def test_every_time_lies_in_its_window_and_windows_do_not_overlap(
    period: Period, zone: str, now_ms: int
) -> None:
    where = ZoneInfo(zone)
    window = window_at(period, where, now_ms)
    assert window.starts_at <= now_ms < window.ends_at
    if period != "hour":  # an offset of a quarter of an hour may begin within an hour
        assert window_at(period, where, window.starts_at) == window
        assert window_at(period, where, window.ends_at - 1) == window
        assert window_at(period, where, window.ends_at).starts_at == window.ends_at
