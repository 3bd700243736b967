"""Which days a report is about, and whose midnight they begin at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from portico.protocol.errors import InvalidRequest

DEFAULT_DAYS = 30
OFFSET = re.compile(r"^UTC([+-])(\d{1,2})(?::([0-5]\d))?$")
MAX_OFFSET_HOURS = 14
Mode = Literal["utc", "gateway", "specific"]
RANGE_DAYS: Mapping[str, int] = {"7d": 7, "30d": 30, "90d": 90, "1y": 365}
_BEGINNING = date(1970, 1, 2)  # in every time zone after the epoch


@dataclass(frozen=True, slots=True)
class Days:
    """The days from `first` to `last`, both included, in a time zone."""

    first: date
    last: date
    zone: tzinfo

    @property
    def since_ms(self) -> int:
        """When the first of them begins."""
        return midnight_ms(self.first, self.zone)

    @property
    def until_ms(self) -> int:
        """When the last of them has ended."""
        return midnight_ms(self.last + timedelta(days=1), self.zone)

    @property
    def count(self) -> int:
        """How many they are."""
        return (self.last - self.first).days + 1


def days_of(
    *,
    now_ms: int,
    zone: tzinfo,
    start: str | None,
    end: str | None,
    span: str | None = None,
    count: int | None = None,
) -> Days:
    """Return the days that were asked for.

    Args:
        start, end: dates; `end` is today when it is not given.
        span: a name of `RANGE_DAYS`, or `all`; `count`: so many days. They count without `start`.

    Raises:
        InvalidRequest: a date that is none, or an end before the start.
    """
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    try:
        last = date.fromisoformat(end) if end else today
        if start:
            first = date.fromisoformat(start)
        elif span == "all":
            first = _BEGINNING
        else:
            wanted = count or RANGE_DAYS.get(span or "", DEFAULT_DAYS)
            first = last - timedelta(days=wanted - 1)
    except (ValueError, OverflowError):
        raise InvalidRequest("invalid usage params: not a date") from None
    if first > last:
        raise InvalidRequest("invalid usage params: startDate is after endDate")
    return Days(first, last, zone)


def zone_of(mode: Mode, *, utc_offset: str | None, time_zone: str | None) -> tzinfo:
    """Return whose midnight is meant.

    Raises:
        InvalidRequest: there is no such zone.
    """
    if mode == "gateway":
        return datetime.fromtimestamp(0, UTC).astimezone().tzinfo or UTC
    if time_zone is not None:
        try:
            return ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise InvalidRequest(f"unknown time zone: {time_zone}") from None
    offset = OFFSET.match(utc_offset or "")
    if mode != "specific" or offset is None:
        return UTC
    hours, minutes = int(offset.group(2)), int(offset.group(3) or 0)
    if hours > MAX_OFFSET_HOURS:
        raise InvalidRequest("invalid usage params: utcOffset is out of range")
    ahead = timedelta(hours=hours, minutes=minutes)
    return timezone(-ahead if offset.group(1) == "-" else ahead)


def midnight_ms(day: date, zone: tzinfo) -> int:
    """Return when a day begins."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)
