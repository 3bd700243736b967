"""The life of a job and of its runs, as pure functions.

Theory of operation: a job knows the first slot nobody has acted on (`slot_at`) and when to act on
it (`wake_at`). Acting is one decision, `plan`: run a slot, pass over what was missed, and move on
to the next. When the run has ended, `after_run` counts, backs off, and switches off what keeps
failing.

A run is `running` until its turn has ended, `delivering` while its answer is on its way, and then
`finished` for good.

No I/O here, and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from portico.automation.cron.model import (
    AutoDisabled,
    CompletionStatus,
    DeliveryStatus,
    Job,
    MisfirePolicy,
    RunStatus,
)
from portico.automation.cron.schedule import (
    DEFAULT_ZONE,
    latest_slots,
    next_slot,
    stagger_of,
)

BACKOFF_MS = (30_000, 60_000, 300_000, 900_000, 3_600_000)
"""How long a job rests after its first, second … failure in a row; the last is for all further."""


class RunState(StrEnum):
    """Where a run is."""

    RUNNING = "running"
    DELIVERING = "delivering"
    FINISHED = "finished"


TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.RUNNING: frozenset({RunState.DELIVERING, RunState.FINISHED}),
    RunState.DELIVERING: frozenset({RunState.FINISHED}),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for jobs that do not say otherwise, and for all of them.

    Attributes:
        zone: the time zone of cron expressions that name none.
        max_catch_up: with run_all, how many missed slots run at most; older ones are passed over.
        max_errors: failures in a row after which a job is switched off; 0: never.
    """

    zone: str = DEFAULT_ZONE
    policy: MisfirePolicy = "run_once"
    grace_ms: int = 60_000
    max_catch_up: int = 100
    max_errors: int = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about a due job.

    Attributes:
        run: the slot to run; `None`: none of the due ones.
        skipped: the newest slot that will not run, and is put on record; `None`: there is none.
        slot_at, wake_at: what the job's are from now on.
    """

    run: int | None
    skipped: int | None
    slot_at: int | None
    wake_at: int | None


def first_plan(job: Job, *, after_ms: int, rules: Rules) -> Plan:
    """Return when a job is due that is new, changed, or switched on again.

    Raises:
        BadSchedule: its schedule makes no sense.
    """
    slot = next_slot(job.schedule, after_ms, zone=rules.zone)
    return Plan(None, None, slot, _wake(job, slot))


def plan(job: Job, *, now: int, rules: Rules) -> Plan:
    """Decide about a job that is due.

    Raises:
        BadSchedule: its schedule makes no sense (any more).
    """
    first = job.slot_at
    if first is None:
        return Plan(None, None, None, None)
    offset = stagger_of(job.schedule, job.job_id)
    policy = job.definition.misfire.policy or rules.policy
    count = rules.max_catch_up if policy == "run_all" else 1
    due = latest_slots(job.schedule, first, now - offset, count=count, zone=rules.zone)
    if not due:  # the clock went back since it was due
        return Plan(None, None, first, first + offset)
    if policy == "run_all":
        return _catch_up(job, due, now=now, rules=rules)
    newest = due[-1]
    following = next_slot(job.schedule, newest, zone=rules.zone)
    late_ms = now - offset - newest
    if policy == "skip" and late_ms > _grace(job, rules):
        return Plan(None, newest, following, _wake(job, following))
    return Plan(newest, None, following, _wake(job, following))


def _catch_up(job: Job, due: list[int], *, now: int, rules: Rules) -> Plan:
    run = due[0]
    skipped = None
    if job.slot_at is not None and run > job.slot_at:
        skipped = latest_slots(job.schedule, job.slot_at, run - 1, count=1, zone=rules.zone)[0]
    following = next_slot(job.schedule, run, zone=rules.zone)
    wake = _wake(job, following)
    if len(due) > 1 and wake is not None:
        wake = max(wake, now + (job.definition.misfire.stagger_ms or 0))
    return Plan(run, skipped, following, wake)


def _grace(job: Job, rules: Rules) -> int:
    own = job.definition.misfire.grace_ms
    return rules.grace_ms if own is None else own


def _wake(job: Job, slot: int | None) -> int | None:
    return None if slot is None else slot + stagger_of(job.schedule, job.job_id)


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended.

    Attributes:
        counts: a failure counts against the job (a person who cancels it, or runs it by hand, does
            not switch it off).
    """

    status: RunStatus
    started_at: int
    ended_at: int
    error: str | None = None
    counts: bool = True
    delivery_status: DeliveryStatus = "not-requested"
    delivery_error: str | None = None
    completion: CompletionStatus = "succeeded"


def after_run(job: Job, end: RunEnd, *, rules: Rules) -> Job | None:
    """Return the job as it is after a run; `None`: it has done its work and is deleted."""
    is_exhausted = job.slot_at is None
    if is_exhausted and job.deletes_itself and end.completion == "succeeded":
        return None
    state = msgspec.structs.replace(
        job.state,
        last_run_at_ms=end.started_at,
        last_run_status=end.status,
        last_error=end.error,
        last_duration_ms=max(0, end.ended_at - end.started_at),
        last_delivery_status=end.delivery_status,
        last_delivery_error=end.delivery_error,
        consecutive_skipped=0,
    )
    job = msgspec.structs.replace(job, state=state, updated_at=end.ended_at)
    if end.status == "ok":
        job = _with_errors(job, 0)
    elif end.counts:
        job = _failed(job, end, rules)
    return msgspec.structs.replace(job, is_enabled=False) if is_exhausted else job


def after_skip(job: Job, *, now: int, reason: str) -> Job:
    """Return the job as it is after slots were passed over."""
    state = msgspec.structs.replace(
        job.state,
        last_run_status="skipped",
        last_error=reason,
        consecutive_skipped=job.state.consecutive_skipped + 1,
    )
    is_enabled = job.is_enabled and job.slot_at is not None
    return msgspec.structs.replace(job, state=state, is_enabled=is_enabled, updated_at=now)


def switched_off(job: Job, *, now: int, error: str) -> Job:
    """Return a job whose schedule cannot be read any more."""
    count = job.state.consecutive_errors + 1
    disabled = AutoDisabled(reason="schedule-errors", at_ms=now, consecutive_errors=count)
    state = msgspec.structs.replace(
        job.state,
        last_run_status="error",
        last_error=error,
        consecutive_errors=count,
        auto_disabled=disabled,
    )
    return msgspec.structs.replace(
        job, state=state, is_enabled=False, slot_at=None, wake_at=None, updated_at=now
    )


def _with_errors(job: Job, count: int) -> Job:
    state = msgspec.structs.replace(job.state, consecutive_errors=count)
    return msgspec.structs.replace(job, state=state)


def _failed(job: Job, end: RunEnd, rules: Rules) -> Job:
    count = job.state.consecutive_errors + 1
    job = _with_errors(job, count)
    if job.wake_at is not None:
        rest_ms = BACKOFF_MS[min(count, len(BACKOFF_MS)) - 1]
        job = msgspec.structs.replace(job, wake_at=max(job.wake_at, end.ended_at + rest_ms))
    if not rules.max_errors or count < rules.max_errors or job.slot_at is None:
        return job
    disabled = AutoDisabled(
        reason="consecutive-failures", at_ms=end.ended_at, consecutive_errors=count
    )
    state = msgspec.structs.replace(job.state, auto_disabled=disabled)
    return msgspec.structs.replace(job, state=state, is_enabled=False)
