"""What is decided about a due job, and what its runs make of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from portico.automation.cron.life import (
    BACKOFF_MS,
    TRANSITIONS,
    Plan,
    Rules,
    RunEnd,
    RunState,
    after_run,
    after_skip,
    first_plan,
    plan,
    switched_off,
)
from portico.automation.cron.model import (
    AgentTurn,
    At,
    CronExpression,
    Definition,
    Every,
    Job,
    JobState,
    Misfire,
    Schedule,
)
from portico.automation.cron.schedule import stagger_of
from tests.support.cron import DAY_MS, HOUR_MS, MINUTE_MS, ms

HOUR = Every(HOUR_MS, 0)
NOON = ms("2026-07-01T12:00+00:00")
RULES = Rules()


def job(schedule: Schedule = HOUR, *, slot: int | None = NOON, **fields: Any) -> Job:
    definition = Definition(
        schedule=schedule,
        payload=AgentTurn(message="go"),
        session_target="isolated",
        misfire=fields.pop("misfire", Misfire()),
        delete_after_run=fields.pop("delete_after_run", None),
    )
    return Job(
        job_id="job_1",
        name="job",
        declaration_key=None,
        agent_id=None,
        is_enabled=True,
        definition=definition,
        state=fields.pop("state", JobState()),
        slot_at=slot,
        wake_at=fields.pop("wake", slot),
        revision="rev",
        created_at=0,
        updated_at=0,
    )


def test_a_slot_in_time_runs() -> None:
    wanted = Plan(run=NOON, skipped=None, slot_at=NOON + HOUR_MS, wake_at=NOON + HOUR_MS)
    assert plan(job(), now=NOON + 5, rules=RULES) == wanted


def test_run_once_runs_the_newest_for_all() -> None:
    decided = plan(job(), now=NOON + 3 * HOUR_MS + 5, rules=RULES)
    assert (decided.run, decided.skipped) == (NOON + 3 * HOUR_MS, None)
    assert decided.slot_at == NOON + 4 * HOUR_MS


def test_skip_runs_the_newest_only_in_time() -> None:
    skipping = job(misfire=Misfire(policy="skip"))
    in_time = plan(skipping, now=NOON + 3 * HOUR_MS + MINUTE_MS, rules=RULES)
    assert (in_time.run, in_time.skipped) == (NOON + 3 * HOUR_MS, None)
    late = plan(skipping, now=NOON + 3 * HOUR_MS + MINUTE_MS + 1, rules=RULES)
    assert (late.run, late.skipped) == (None, NOON + 3 * HOUR_MS)
    assert late.slot_at == late.wake_at == NOON + 4 * HOUR_MS


def test_the_grace_is_the_jobs_own_or_the_configured() -> None:
    patient = job(misfire=Misfire(policy="skip", grace_ms=HOUR_MS - 1))
    assert plan(patient, now=NOON + HOUR_MS - 1, rules=RULES).run == NOON
    strict = job(misfire=Misfire(policy="skip", grace_ms=0))
    assert plan(strict, now=NOON + 1, rules=RULES).run is None
    assert plan(strict, now=NOON, rules=RULES).run == NOON
    configured = Rules(policy="skip", grace_ms=10)
    assert plan(job(), now=NOON + 11, rules=configured).run is None


def test_run_all_runs_each_in_order_one_at_a_time() -> None:
    due, now, ran = job(misfire=Misfire(policy="run_all")), NOON + 3 * HOUR_MS + 5, []
    while due.wake_at is not None and due.wake_at <= now:
        decided = plan(due, now=now, rules=RULES)
        assert decided.skipped is None
        ran.append(decided.run)
        due = msgspec.structs.replace(due, slot_at=decided.slot_at, wake_at=decided.wake_at)
    assert ran == [NOON + hours * HOUR_MS for hours in range(4)]
    assert due.slot_at == NOON + 4 * HOUR_MS


def test_run_all_spreads_what_it_catches_up_with() -> None:
    spread = job(misfire=Misfire(policy="run_all", stagger_ms=10_000))
    now = NOON + HOUR_MS + 5
    first = plan(spread, now=now, rules=RULES)
    assert (first.run, first.slot_at, first.wake_at) == (NOON, NOON + HOUR_MS, now + 10_000)
    spread = msgspec.structs.replace(spread, slot_at=first.slot_at, wake_at=first.wake_at)
    last = plan(spread, now=now + 10_000, rules=RULES)
    assert (last.run, last.wake_at) == (NOON + HOUR_MS, NOON + 2 * HOUR_MS)


def test_run_all_has_a_bound_and_says_what_it_passed_over() -> None:
    decided = plan(
        job(misfire=Misfire(policy="run_all")),
        now=NOON + 10 * HOUR_MS,
        rules=Rules(max_catch_up=3),
    )
    assert (decided.run, decided.skipped) == (NOON + 8 * HOUR_MS, NOON + 7 * HOUR_MS)
    assert decided.slot_at == NOON + 9 * HOUR_MS


@pytest.mark.parametrize("policy", ["run_once", "run_all"])
def test_a_one_shot_that_was_missed_runs_late(policy: Any) -> None:
    once = job(At("2026-07-01T12:00Z"), misfire=Misfire(policy=policy))
    assert plan(once, now=NOON + DAY_MS, rules=RULES) == Plan(NOON, None, None, None)


def test_a_one_shot_that_skips_is_over() -> None:
    once = job(At("2026-07-01T12:00Z"), misfire=Misfire(policy="skip"))
    assert plan(once, now=NOON + DAY_MS, rules=RULES) == Plan(None, NOON, None, None)
    over = msgspec.structs.replace(once, slot_at=None, wake_at=None)
    assert not after_skip(over, now=NOON + DAY_MS, reason="missed").is_enabled


def test_a_clock_that_went_back_changes_nothing_but_the_time_to_wait() -> None:
    decided = plan(job(), now=NOON - HOUR_MS, rules=RULES)
    assert decided == Plan(None, None, NOON, NOON)


def test_a_stagger_moves_the_run_and_not_the_slot() -> None:
    spread = job(CronExpression(expr="0 * * * *", stagger_ms=300_000), slot=None)
    offset = stagger_of(spread.schedule, "job_1")
    assert offset > 0
    first = first_plan(spread, after_ms=NOON, rules=RULES)
    assert (first.slot_at, first.wake_at) == (NOON + HOUR_MS, NOON + HOUR_MS + offset)
    spread = msgspec.structs.replace(spread, slot_at=first.slot_at, wake_at=first.wake_at)
    assert plan(spread, now=NOON + HOUR_MS + offset - 1, rules=RULES).run is None
    decided = plan(spread, now=NOON + HOUR_MS + offset, rules=RULES)
    assert (decided.run, decided.wake_at) == (NOON + HOUR_MS, NOON + 2 * HOUR_MS + offset)


def ended(status: Any = "ok", **fields: Any) -> RunEnd:
    failed = "failed" if status == "error" else "succeeded"
    told = {"completion": failed, "error": "why" if status == "error" else None, **fields}
    return RunEnd(status, started_at=NOON, ended_at=NOON + 700, **told)


def test_a_good_run_is_counted() -> None:
    before = job(slot=NOON + HOUR_MS, state=JobState(consecutive_errors=3, last_error="old"))
    after = after_run(before, ended(delivery_status="delivered"), rules=RULES)
    assert after is not None
    assert after.state == JobState(
        last_run_at_ms=NOON,
        last_run_status="ok",
        last_duration_ms=700,
        last_delivery_status="delivered",
    )
    assert after.wake_at == NOON + HOUR_MS


def test_failures_in_a_row_back_off() -> None:
    failing = job(Every(1_000, 0), slot=NOON + 1_000)
    rests = []
    for _ in range(7):
        after = after_run(failing, ended("error"), rules=RULES)
        assert after is not None
        assert after.wake_at is not None
        rests.append(after.wake_at - (NOON + 700))
        failing = msgspec.structs.replace(after, wake_at=NOON + 1_000)
    assert rests == [*BACKOFF_MS, BACKOFF_MS[-1], BACKOFF_MS[-1]]
    assert failing.slot_at == NOON + 1_000


def test_a_slot_that_is_later_than_the_rest_stays() -> None:
    after = after_run(job(slot=NOON + DAY_MS), ended("error"), rules=RULES)
    assert after is not None
    assert after.wake_at == NOON + DAY_MS


def test_what_keeps_failing_is_switched_off_with_the_reason() -> None:
    before = job(slot=NOON + HOUR_MS, state=JobState(consecutive_errors=9))
    after = after_run(before, ended("error"), rules=RULES)
    assert after is not None
    assert not after.is_enabled
    disabled = after.state.auto_disabled
    assert disabled is not None
    assert (disabled.reason, disabled.consecutive_errors) == ("consecutive-failures", 10)
    never = after_run(before, ended("error"), rules=Rules(max_errors=0))
    assert never is not None
    assert never.is_enabled


def test_what_is_not_the_jobs_fault_is_not_counted() -> None:
    before = job(slot=NOON + HOUR_MS, state=JobState(consecutive_errors=9))
    after = after_run(before, ended("error", counts=False), rules=RULES)
    assert after is not None
    assert after.is_enabled
    assert (after.state.consecutive_errors, after.state.last_run_status) == (9, "error")
    assert after.wake_at == NOON + HOUR_MS


def test_a_one_shot_is_deleted_when_it_succeeded() -> None:
    over = job(At("2026-07-01T12:00Z"), slot=None)
    assert after_run(over, ended(), rules=RULES) is None


@pytest.mark.parametrize(
    ("end", "fields"),
    [
        (ended("error"), {}),
        (ended(), {"delete_after_run": False}),
        (ended(completion="unknown"), {}),
        (ended(completion="failed", delivery_status="not-delivered"), {}),
    ],
)
def test_else_a_one_shot_stays_switched_off(end: RunEnd, fields: dict[str, Any]) -> None:
    after = after_run(job(At("2026-07-01T12:00Z"), slot=None, **fields), end, rules=RULES)
    assert after is not None
    assert not after.is_enabled
    assert after.state.auto_disabled is None


def test_a_run_by_hand_leaves_the_time_of_a_one_shot() -> None:
    waiting = job(At("2026-07-01T12:00Z"), slot=NOON)
    after = after_run(waiting, ended(), rules=RULES)
    assert after is not None
    assert (after.is_enabled, after.slot_at) == (True, NOON)


def test_a_repeating_job_that_shall_go_goes_when_it_is_exhausted_only() -> None:
    repeating = job(delete_after_run=True)
    assert after_run(repeating, ended(), rules=RULES) is not None


def test_a_schedule_that_cannot_be_read_any_more() -> None:
    off = switched_off(job(), now=NOON, error="unknown time zone")
    assert (off.is_enabled, off.slot_at, off.wake_at) == (False, None, None)
    assert off.state.auto_disabled is not None
    assert off.state.auto_disabled.reason == "schedule-errors"


def test_runs_end_once() -> None:
    assert RunState.FINISHED not in TRANSITIONS
    assert TRANSITIONS[RunState.DELIVERING] == {RunState.FINISHED}
