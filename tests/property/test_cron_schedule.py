"""Slots of any schedule in any zone: a fixed, rising sequence, whatever time is asked from."""

from __future__ import annotations

from itertools import islice

from hypothesis import assume, given
from hypothesis import strategies as st

from portico.automation.cron.model import CronExpression, Every, Schedule
from portico.automation.cron.schedule import BadSchedule, latest_slots, next_slot, slots
from tests.support.cron import DAY_MS, ms

# Clocks that change by an hour, by half an hour, at midnight, in the south, by a whole day, never.
ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Cairo",
    "Asia/Kolkata",
    "UTC",
]
# Where Berlin, New York, Lord Howe, Sao Paulo and Apia changed their clocks or their day.
CHANGES = [
    ms(text)
    for text in (
        "2026-03-29T01:00+00:00",
        "2026-10-25T01:00+00:00",
        "2026-03-08T07:00+00:00",
        "2026-11-01T06:00+00:00",
        "2026-04-04T15:00+00:00",
        "2026-10-03T15:30+00:00",
        "2018-11-04T03:00+00:00",
        "2011-12-30T10:00+00:00",
    )
]
moments = st.builds(
    lambda change, offset: change + offset,
    st.sampled_from(CHANGES),
    st.integers(-2 * DAY_MS, 2 * DAY_MS),
)


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    spans = st.tuples(number, number).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    steps = st.integers(1, high or 1).map(lambda step: f"*/{step}")
    lists = st.lists(number.map(str), min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), st.just("*"), number.map(str), spans, steps, lists)


expressions = st.builds(
    lambda *fields: " ".join(part for part in fields if part),
    st.one_of(st.just(""), st.just(""), field(0, 59)),
    field(0, 59),
    field(0, 23),
    st.one_of(st.just("*"), field(1, 28)),
    st.just("*"),
    st.one_of(st.just("*"), field(0, 6)),
)
crons = st.builds(
    lambda expr, tz: CronExpression(expr=expr, tz=tz), expressions, st.sampled_from(ZONES)
)
intervals = st.builds(Every, st.integers(1, DAY_MS), st.integers(0, 2 * 10**12))
schedules: st.SearchStrategy[Schedule] = st.one_of(crons, crons, crons, intervals)


def following(schedule: Schedule, after: int) -> int:
    slot = next_slot(schedule, after)
    assume(slot is not None)
    assert slot is not None
    return slot


@given(schedules, moments, moments)
def test_the_next_slot_rises_with_time(schedule: Schedule, one: int, other: int) -> None:
    earlier, later = sorted((one, other))
    first, second = following(schedule, earlier), following(schedule, later)
    assert first > earlier
    assert second > later
    assert first <= second


@given(schedules, moments, st.data())
def test_the_slots_are_the_same_from_wherever_one_looks(
    schedule: Schedule, start: int, data: st.DataObject
) -> None:
    found = [*islice(slots(schedule, start), 40)]
    assume(len(found) > 1)
    assert found == sorted(set(found))
    look = data.draw(st.integers(start, found[-1] - 1))
    assert next_slot(schedule, look) == next(slot for slot in found if slot > look)


@given(schedules, moments, st.integers(0, 3 * DAY_MS), st.integers(1, 8))
def test_the_newest_slots_are_those_of_the_sequence(
    schedule: Schedule, start: int, span: int, count: int
) -> None:
    first = following(schedule, start)
    until = first + span
    newest = latest_slots(schedule, first, until, count=count)
    everything = []
    for slot in slots(schedule, start):
        if slot > until:
            break
        everything.append(slot)
        if len(everything) > 5_000:
            assume(False)
    assert newest == everything[-count:]


@given(st.text(max_size=30), st.text(max_size=20), moments)
def test_any_text_is_a_schedule_or_refused(expr: str, tz: str, after: int) -> None:
    try:
        slot = next_slot(CronExpression(expr=expr, tz=tz), after)
    except BadSchedule:
        return
    assert slot is None or slot > after
