"""When jobs are due, above all where clocks change."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from portico.automation.cron.model import At, CronExpression, Every, Schedule
from portico.automation.cron.schedule import (
    BadSchedule,
    check,
    latest_slots,
    next_slot,
    parse_time,
    slots,
    stagger_of,
)
from tests.support.cron import ms


def times(expr: str, zone: str, after: str, count: int) -> list[str]:
    """The next slots as the clock on the wall shows them: day, time, offset in hours."""
    found = islice(slots(CronExpression(expr=expr, tz=zone), ms(after)), count)
    local = (datetime.fromtimestamp(slot / 1000, ZoneInfo(zone)) for slot in found)
    return [f"{moment:%d %H:%M:%S %z}"[:-2] for moment in local]


# Europe/Berlin: on 2026-03-29 02:00 becomes 03:00; on 2026-10-25 03:00 becomes 02:00.
BEFORE_SPRING, BEFORE_AUTUMN = "2026-03-28T20:00:00+01:00", "2026-10-24T20:00:00+02:00"


@pytest.mark.parametrize(
    ("expr", "after", "expected"),
    [
        # A time that does not exist runs right after the gap, on the same day.
        ("30 2 * * *", BEFORE_SPRING, ["29 03:00:00 +02", "30 02:30:00 +02"]),
        # With what is due there anyway it is one run.
        ("0 1-3 * * *", BEFORE_SPRING, ["29 01:00:00 +01", "29 03:00:00 +02", "30 01:00:00 +02"]),
        # A time that comes twice runs the first time.
        ("30 2 * * *", BEFORE_AUTUMN, ["25 02:30:00 +02", "26 02:30:00 +01"]),
        ("30 2,3 * * *", BEFORE_AUTUMN, ["25 02:30:00 +02", "25 03:30:00 +01"]),
        # So it is with seconds.
        ("15 30 2 * * *", BEFORE_SPRING, ["29 03:00:00 +02", "30 02:30:15 +02"]),
        ("15 30 2 * * *", BEFORE_AUTUMN, ["25 02:30:15 +02", "26 02:30:15 +01"]),
        # A rhythm goes on in elapsed time.
        (
            "*/30 1-3 * * *",
            BEFORE_SPRING,
            ["29 01:00:00 +01", "29 01:30:00 +01", "29 03:00:00 +02"],
        ),
        (
            "0 * * * *",
            "2026-10-25T00:30:00+02:00",
            ["25 01:00:00 +02", "25 02:00:00 +02", "25 02:00:00 +01", "25 03:00:00 +01"],
        ),
        ("0 * * * *", "2026-03-29T00:30:00+01:00", ["29 01:00:00 +01", "29 03:00:00 +02"]),
        (
            "*/30 * * * * *",
            "2026-10-25T02:59:00+02:00",
            ["25 02:59:30 +02", "25 02:00:00 +01", "25 02:00:30 +01"],
        ),
    ],
)
def test_berlin_changes_its_clocks(expr: str, after: str, expected: list[str]) -> None:
    assert times(expr, "Europe/Berlin", after, len(expected)) == expected


def test_midnight_that_does_not_exist() -> None:
    found = times("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00-03:00", 2)
    assert found == ["04 01:00:00 -02", "05 00:00:00 -02"]


def test_half_an_hour_of_summer_time() -> None:
    found = times("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00+11:00", 2)
    assert found == ["05 01:45:00 +11", "06 01:45:00 +10"]


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("0 0 29 2 *", ["2028-02-29", "2032-02-29"]),
        ("0 0 L * *", ["2026-01-31", "2026-02-28"]),
        ("0 0 * * MON#1", ["2026-01-05", "2026-02-02"]),
        ("0 0 13 * FRI", ["2026-01-02", "2026-01-09", "2026-01-13"]),  # the one or the other
        ("0 0 1-7 * *", ["2026-01-01", "2026-01-02"]),
        ("@weekly", ["2026-01-04", "2026-01-11"]),
        ("@Monthly", ["2026-01-01", "2026-02-01"]),
    ],
)
def test_days(expr: str, expected: list[str]) -> None:
    found = islice(slots(CronExpression(expr=expr), ms("2025-12-31T12:00+00:00")), len(expected))
    assert [*found] == [ms(f"{day}T00:00+00:00") for day in expected]


def test_a_zone_for_those_that_name_none() -> None:
    daily, after = CronExpression(expr="0 7 * * *"), ms("2026-07-01T00:00+00:00")
    assert next_slot(daily, after) == ms("2026-07-01T07:00+00:00")
    assert next_slot(daily, after, zone="Europe/Berlin") == ms("2026-07-01T05:00+00:00")
    own = CronExpression(expr="0 7 * * *", tz="Asia/Kolkata")
    assert next_slot(own, after, zone="Europe/Berlin") == ms("2026-07-01T01:30+00:00")


def test_a_slot_is_later_than_what_is_asked_for_to_the_millisecond() -> None:
    minutely, noon = CronExpression(expr="* * * * *"), ms("2026-07-01T12:00+00:00")
    assert next_slot(minutely, noon - 1) == noon
    assert next_slot(minutely, noon) == noon + 60_000
    assert next_slot(minutely, noon + 1) == noon + 60_000


def test_intervals_count_from_their_anchor() -> None:
    assert [*islice(slots(Every(7, 100), 0), 3)] == [100, 107, 114]
    assert next_slot(Every(7, 100), 106) == 107
    assert next_slot(Every(7, 100), 107) == 114
    assert next_slot(Every(1000), 1) == 1000


def test_a_time_is_one_slot() -> None:
    at = At("2026-07-01T12:00:00+02:00")
    assert [*slots(at, 0)] == [ms("2026-07-01T10:00+00:00")]
    assert next_slot(at, ms("2026-07-01T10:00+00:00")) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-07-01", "2026-07-01T00:00+00:00"),
        ("2026-07-01T12:00", "2026-07-01T12:00+00:00"),
        (" 2026-07-01T12:00:00.500Z ", "2026-07-01T12:00:00.500+00:00"),
        ("2026-07-01T12:00-03:30", "2026-07-01T15:30+00:00"),
    ],
)
def test_times_as_written(text: str, meant: str) -> None:
    assert parse_time(text) == ms(meant)


@pytest.mark.parametrize(
    "schedule",
    [
        At("tomorrow"),
        At("1900-01-01"),
        CronExpression(expr="0 0 31 2 *"),
        CronExpression(expr="* * */20 * 1L"),  # a twentieth or later is never a last Monday
        CronExpression(expr="61 * * * *"),
        CronExpression(expr="* * * *"),
        CronExpression(expr="61 0 0 * * *"),
        CronExpression(expr="0 0 0 1 1 * 2026"),
        CronExpression(expr="0 7 * * *; rm -rf /"),
        CronExpression(expr="0 7 * * *", tz="Mars/Olympus"),
        CronExpression(expr="0 7 * * *", tz="../../etc/passwd"),
        CronExpression(expr="0 7 * * *", tz=""),
        CronExpression(expr="0 7 * * *", tz="x" * 5000),
    ],
)
def test_nonsense_is_refused(schedule: Schedule) -> None:
    with pytest.raises(BadSchedule):
        check(schedule)


def test_the_newest_slots_of_a_long_time_cost_little() -> None:
    year = ms("2027-01-01T00:00+00:00") - ms("2026-01-01T00:00+00:00")
    first = ms("2026-01-01T00:00+00:00")
    every_second = CronExpression(expr="* * * * * *")
    until = first + year
    found = latest_slots(every_second, first, until, count=3)
    assert found == [until - 2000, until - 1000, until]
    assert latest_slots(every_second, first, until, count=1) == [until]


def test_the_newest_slots_begin_with_the_first() -> None:
    hourly = Every(3_600_000, 0)
    assert latest_slots(hourly, 7_200_000, 14_399_999, count=5) == [7_200_000, 10_800_000]
    assert latest_slots(hourly, 7_200_000, 14_400_000, count=2) == [10_800_000, 14_400_000]
    assert latest_slots(hourly, 7_200_000, 7_199_999, count=2) == []
    yearly = CronExpression(expr="0 0 1 1 *")
    first, until = ms("2000-01-01T00:00+00:00"), ms("2026-06-01T00:00+00:00")
    assert len(latest_slots(yearly, first, until, count=100)) == 27


def test_a_stagger_is_a_jobs_own_and_stays() -> None:
    spread = CronExpression(expr="0 * * * *", stagger_ms=300_000)
    offsets = {stagger_of(spread, f"job_{number}") for number in range(50)}
    assert len(offsets) > 40
    assert all(0 <= offset < 300_000 for offset in offsets)
    assert stagger_of(spread, "job_1") == stagger_of(spread, "job_1")
    assert stagger_of(CronExpression(expr="0 * * * *"), "job_1") == 0
    assert stagger_of(Every(1000), "job_1") == 0
