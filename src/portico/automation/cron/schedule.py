"""When a job is due: pure functions from a schedule to its slots.

Theory of operation: a slot is a point in time (milliseconds UTC) that a schedule names. The slots
of a schedule are a fixed, rising sequence; nothing here knows what has run, or what time it is.

A cron expression is read in its time zone. When clocks change:

- An expression that names minutes and hours (`30 2 * * *`) is meant by the clock on the wall: it
  runs once on each day. A time that is skipped runs when the gap is over (together with what is
  due then); a time that comes twice runs the first time.
- One with `*` in its minutes or hours (`*/15 * * * *`, `0 * * * *`) is meant as a rhythm: it goes
  on in elapsed time, so the repeated hour runs twice and the skipped one not at all.

Days: when one of day-of-month and day-of-week begins with `*`, both must fit; else one of them.

Guarantees: `next_slot` is later than what it is given, and rises with it; every work here is
bounded, whatever the expression and however long ago.

Source: cron(5) of Debian, whose rules these are; OpenClaw gateway protocol, `CronSchedule`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import takewhile

from portico.automation.cron.model import At, CronExpression, Every, Schedule

DEFAULT_ZONE = "UTC"
LATEST_MS = 253_402_300_799_000  # the last second of the year 9999
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIRST_WINDOW_MS = 60_000
_DAY_S = 86_400
_EPOCH = datetime.fromtimestamp(0, UTC)


class BadSchedule(ValueError):
    """The schedule makes no sense; the text says why and is fit for the caller."""


def next_slot(schedule: Schedule, after_ms: int, *, zone: str = DEFAULT_ZONE) -> int | None:
    """Return the first slot later than a time; `None` when there is none.

    Args:
        zone: of cron expressions that name none.

    Raises:
        BadSchedule: it makes no sense.
    """
    match schedule:
        case At(at):
            at_ms = parse_time(at)
            return at_ms if at_ms > after_ms else None
        case Every():
            return _next_of_every(schedule, after_ms)
        case CronExpression():
            return _next_of_cron(schedule, after_ms, zone)


def slots(schedule: Schedule, after_ms: int, *, zone: str = DEFAULT_ZONE) -> Iterator[int]:
    """Yield the slots later than a time, in order."""
    slot = next_slot(schedule, after_ms, zone=zone)
    while slot is not None:
        yield slot
        slot = next_slot(schedule, slot, zone=zone)


def latest_slots(
    schedule: Schedule, first_ms: int, until_ms: int, *, count: int, zone: str = DEFAULT_ZONE
) -> list[int]:
    """Return the last `count` slots from a slot up to a time, both included, oldest first.

    The work is bounded by `count`, not by the time between the two.
    """
    window = _FIRST_WINDOW_MS
    while True:
        start = max(first_ms - 1, until_ms - window)
        found = takewhile(lambda slot: slot <= until_ms, slots(schedule, start, zone=zone))
        newest = [*found]
        if len(newest) >= count or start < first_ms:
            return newest[-count:]
        window *= 4


def check(schedule: Schedule, *, zone: str = DEFAULT_ZONE) -> None:
    """Make sure that a schedule makes sense and names any slot at all.

    Raises:
        BadSchedule: it does not.
    """
    if next_slot(schedule, -1, zone=zone) is None:
        raise BadSchedule("the schedule never comes due")


def stagger_of(schedule: Schedule, job_id: str) -> int:
    """Return by how many milliseconds a job runs later than its slots: always the same."""
    if not isinstance(schedule, CronExpression) or not schedule.stagger_ms:
        return 0
    digest = hashlib.blake2b(job_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % schedule.stagger_ms


def parse_time(text: str) -> int:
    """Return an ISO 8601 time in milliseconds; without an offset it is UTC.

    Raises:
        BadSchedule: it is no such time.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadSchedule(f"not an ISO 8601 time: {text[:80]!r}") from None
    at_ms = _to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    if not 0 <= at_ms <= LATEST_MS:
        raise BadSchedule(f"out of range: {text[:80]!r}")
    return at_ms


def find_zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name.

    Raises:
        BadSchedule: there is none of that name.
    """
    from zoneinfo import ZoneInfo

    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise BadSchedule(f"unknown time zone: {name[:80]!r}") from None


def _next_of_every(schedule: Every, after_ms: int) -> int | None:
    anchor, every = schedule.anchor_ms or 0, schedule.every_ms
    slot = anchor if after_ms < anchor else after_ms + every - (after_ms - anchor) % every
    return slot if slot <= LATEST_MS else None


def _next_of_cron(schedule: CronExpression, after_ms: int, zone: str) -> int | None:
    from cronsim import CronSimError

    fields, is_rhythm = _fields_of(schedule.expr)
    where = find_zone(zone if schedule.tz is None else schedule.tz)
    after_s = max(after_ms, -1) // 1000  # only whole seconds are slots
    try:
        find = _next_of_rhythm if is_rhythm else _next_by_the_clock
        slot_s = find(fields, after_s, where)
    except CronSimError as error:
        raise BadSchedule(f"{error} in cron expression {schedule.expr[:80]!r}") from None
    except OverflowError:  # past the year 9999
        return None
    slot_ms = None if slot_s is None else slot_s * 1000
    return slot_ms if slot_ms is not None and slot_ms <= LATEST_MS else None


def _next_by_the_clock(fields: str, after_s: int, where: tzinfo) -> int | None:
    """Read the calendar as if no clock ever changed, then see when each time really is."""
    for local in _calendar(fields, _local(after_s, where)):
        slot = _instant(local, where)
        # After clocks went back, the first times found may be before: they ran the first time.
        if slot > after_s:
            return slot
    return None


def _next_of_rhythm(fields: str, after_s: int, where: tzinfo) -> int | None:
    """Read the calendar in each stretch of time in which the clock does not change."""
    start = after_s
    while True:
        offset = _offset(start, where)
        local = next(_calendar(fields, _local(start, where)), None)
        if local is None:
            return None
        slot = _seconds(local) - offset
        change = _first_change(start, slot, where)
        if change is None:
            return slot
        # The stretch ends before. The next one begins with the change itself, which may be a slot.
        if _matches(fields, _local(change, where)):
            return change
        start = change


def _calendar(fields: str, after: datetime) -> Iterator[datetime]:
    from cronsim import CronSim

    return iter(CronSim(fields, after))


def _matches(fields: str, local: datetime) -> bool:
    return next(_calendar(fields, local - timedelta(seconds=1)), None) == local


def _instant(local: datetime, where: tzinfo) -> int:
    """Return when a clock shows a time: the first time it does, or, if never, after the gap."""
    aware = local.replace(tzinfo=where)
    slot = int(aware.timestamp())
    if _local(slot, where) == local:
        return slot
    return _change_in(int(aware.replace(fold=1).timestamp()), slot, where)


def _first_change(after_s: int, until_s: int, where: tzinfo) -> int | None:
    """Return the first second in a span that has another offset than the one before it."""
    low = after_s
    while low < until_s:
        high = min(until_s, low - low % _DAY_S + _DAY_S)
        if _offset(high, where) != _offset(low, where):
            return _change_in(low, high, where)
        low = high
    return None


def _change_in(low: int, high: int, where: tzinfo) -> int:
    before = _offset(low, where)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(middle, where) == before:
            low = middle
        else:
            high = middle
    return high


def _offset(at_s: int, where: tzinfo) -> int:
    offset = (_EPOCH + timedelta(seconds=at_s)).astimezone(where).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def _local(at_s: int, where: tzinfo) -> datetime:
    return (_EPOCH + timedelta(seconds=at_s)).astimezone(where).replace(tzinfo=None, fold=0)


def _seconds(naive: datetime) -> int:
    return int((naive.replace(tzinfo=UTC) - _EPOCH).total_seconds())


@lru_cache(maxsize=1024)
def _fields_of(expr: str) -> tuple[str, bool]:
    """Return what to evaluate, and whether it is a rhythm rather than times of the day."""
    fields = _NICKNAMES.get(expr.strip().lower(), expr).split()
    minute_and_hour = fields[-5:-3]
    return " ".join(fields), any(field.startswith("*") for field in minute_and_hour)


def _to_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
