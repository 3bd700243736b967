"""The stretches of time budgets are counted in: hours, days and months of a time zone, or all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Literal

Period = Literal["hour", "day", "month", "total"]

HOUR_MS = 3_600_000
FOREVER = 253_402_300_800_000  # the year 10000, in ms


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """From a time to another, which is not in it any more; in ms."""

    starts_at: int
    ends_at: int


ALWAYS = Window(0, FOREVER)


def window_at(period: Period, zone: tzinfo, now_ms: int) -> Window:
    """Return the window a time lies in."""
    if period == "total":
        return ALWAYS
    local = datetime.fromtimestamp(now_ms // 1000, zone)
    if period == "hour":
        into_ms = (local.minute * 60 + local.second) * 1000 + now_ms % 1000
        return Window(now_ms - into_ms, now_ms - into_ms + HOUR_MS)
    first = local.date() if period == "day" else local.date().replace(day=1)
    # From any day of a month, 31 days later is in the next one.
    after = first + timedelta(days=1) if period == "day" else first + timedelta(days=31)
    following = after if period == "day" else after.replace(day=1)
    return Window(_midnight_ms(first, zone), _midnight_ms(following, zone))


def _midnight_ms(day: date, zone: tzinfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)
