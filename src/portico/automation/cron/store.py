"""Works on jobs and runs.

Guarantees: whoever changes a job locks it first (`lock_job`), so what it decides is decided on the
job as it is; a run moves only from the state that was read (`move_run`), so it ends once, whoever
tries. Jobs are locked before runs.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from sqlalchemy import bindparam, delete, exists, func, select, update

from portico.automation.cron.life import RunState
from portico.automation.cron.model import (
    CompletionStatus,
    Definition,
    DeliveryStatus,
    Job,
    JobState,
    RunStatus,
)
from portico.automation.cron.tables import jobs, runs
from portico.channels.model import ReplyRoute
from portico.store import Row, Work, one, statement

j, r = jobs.c, runs.c
_p = bindparam
Cause = Literal["schedule", "manual"]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the runs table.

    Attributes:
        slot: the slot in ms as text, or what sets a manual run apart.
        route: where the answer goes, frozen at the start; `None`: nowhere.
        owns_session: the session was made for this run alone.
    """

    job_id: str
    slot: str
    run_id: str
    job_name: str
    agent_id: str
    slot_at: int
    started_at: int
    owns_session: bool
    best_effort: bool
    cause: Cause = "schedule"
    state: RunState = RunState.RUNNING
    session_key: str | None = None
    session_id: str | None = None
    route: ReplyRoute | None = None
    status: RunStatus | None = None
    error: str | None = None
    error_reason: str | None = None
    summary: str | None = None
    model: str | None = None
    provider: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    delivery_id: str | None = None
    delivery_status: DeliveryStatus | None = None
    delivery_error: str | None = None
    suppressed: str | None = None
    ended_at: int | None = None
    next_run_at: int | None = None

    @property
    def completion(self) -> CompletionStatus:
        """Whether the whole of it came off, delivery included where it was required."""
        if self.status != "ok":
            return "failed"
        if self.best_effort or self.delivery_status in {"delivered", "not-requested"}:
            return "succeeded"
        return "failed" if self.delivery_status == "not-delivered" else "unknown"


def new_run(
    job: Job, slot_at: int, *, agent_id: str, owns_session: bool, best_effort: bool, now: int
) -> Run:
    """Return the run of a slot, as it begins."""
    return Run(
        job_id=job.job_id,
        slot=str(slot_at),
        run_id=f"cron:{job.job_id}:{slot_at}",
        job_name=job.name,
        agent_id=agent_id,
        owns_session=owns_session,
        best_effort=best_effort,
        slot_at=slot_at,
        started_at=now,
    )


_route_decoder = msgspec.json.Decoder(ReplyRoute)
_definition_decoder = msgspec.json.Decoder(Definition)
_state_decoder = msgspec.json.Decoder(JobState)

_JOB_COLUMNS = tuple(column.name for column in j)
_RUN_COLUMNS = tuple(column.name for column in r)
# What of a run is known only at its end.
_ENDING = (
    *("state", "session_id", "status", "error", "error_reason", "summary", "model", "provider"),
    *("input_tokens", "output_tokens", "delivery_id", "delivery_status", "delivery_error"),
    *("suppressed", "ended_at", "next_run_at"),
)

_has_open_run = exists().where(r.job_id == j.job_id, r.state != "finished")

_INSERT_JOB = statement(lambda insert: insert(jobs))
_UPDATE_JOB = statement(
    update(jobs)
    .where(j.job_id == _p("id"))
    .values({name: _p(f"new_{name}") for name in _JOB_COLUMNS})
)
_POSTPONE = statement(
    update(jobs)
    .where(j.job_id == _p("id"), j.is_enabled == 1, j.wake_at < _p("until"))
    .values(wake_at=_p("until"))
)
_DELETE_JOB = statement(delete(jobs).where(j.job_id == _p("id")).returning(jobs))
_GET_JOB = statement(select(jobs).where(j.job_id == _p("id")))
_LOCK_JOB = statement(select(jobs).where(j.job_id == _p("id")).with_for_update())
_GET_DECLARED = statement(select(jobs).where(j.declaration_key == _p("key")))
_ALL_JOBS = statement(select(jobs).order_by(j.created_at, j.job_id))
_COUNT_JOBS = statement(select(func.count().label("n")).select_from(jobs))
_DUE = statement(
    select(jobs)
    .where(j.is_enabled == 1, j.wake_at <= _p("now"), ~_has_open_run)
    .order_by(j.wake_at, j.job_id)
    .limit(_p("count"))
)
_NEXT_WAKE = statement(
    select(func.min(j.wake_at).label("at")).where(j.is_enabled == 1, ~_has_open_run)
)
_INSERT_RUN = statement(lambda insert: insert(runs).on_conflict_do_nothing().returning(r.run_id))
_OPEN_RUN_OF = statement(select(runs).where(r.job_id == _p("id"), r.state != "finished"))
_OPEN_RUNS = statement(
    select(runs).where(r.state != "finished").order_by(r.started_at).limit(_p("count"))
)
_UNDELIVERED = statement(
    select(runs)
    .where(r.state == "finished", r.delivery_status == "unknown", r.ended_at > _p("since"))
    .order_by(r.ended_at)
    .limit(_p("count"))
)
_GET_RUN = statement(select(runs).where(r.run_id == _p("id")))
_MOVE_RUN = statement(
    update(runs)
    .where(r.job_id == _p("id"), r.slot == _p("at_slot"), r.state == _p("from_state"))
    .values({name: _p(f"new_{name}") for name in _ENDING})
    .returning(r.run_id)
)


# -- jobs ----------------------------------------------------------------------------------------


def insert_job(job: Job) -> Work[None]:
    """Add a job."""
    yield _INSERT_JOB(**_job_values(job))


def update_job(job: Job) -> Work[None]:
    """Replace a job that was locked before it was read."""
    values = {f"new_{name}": value for name, value in _job_values(job).items()}
    yield _UPDATE_JOB(id=job.job_id, **values)


def postpone(job_id: str, *, until_ms: int) -> Work[None]:
    """Let a due job wait; its slot stays what it is."""
    yield _POSTPONE(id=job_id, until=until_ms)


def delete_job(job_id: str) -> Work[Job | None]:
    """Delete a job; return it as it was, `None` when there is none."""
    row = one((yield _DELETE_JOB(id=job_id)))
    return None if row is None else job_from_row(row)


def find_job(job_id: str) -> Work[Job | None]:
    """Return a job, or `None`."""
    row = one((yield _GET_JOB(id=job_id)))
    return None if row is None else job_from_row(row)


def lock_job(job_id: str) -> Work[Job | None]:
    """The same; nobody else changes the job before this transaction ends."""
    row = one((yield _LOCK_JOB(id=job_id)))
    return None if row is None else job_from_row(row)


def find_declared(declaration_key: str) -> Work[Job | None]:
    """Return the job somebody declared under a key, or `None`."""
    row = one((yield _GET_DECLARED(key=declaration_key)))
    return None if row is None else job_from_row(row)


def all_jobs() -> Work[list[Job]]:
    """Return every job, the oldest first; their number is limited where they are added."""
    return [job_from_row(row) for row in (yield _ALL_JOBS())]


def count_jobs() -> Work[int]:
    """Return how many jobs there are."""
    count: int = (yield _COUNT_JOBS())[0]["n"]
    return count


def due(*, now: int, count: int) -> Work[list[Job]]:
    """Return jobs to act on, longest due first; one whose run has not ended waits for that."""
    return [job_from_row(row) for row in (yield _DUE(now=now, count=count))]


def next_wake() -> Work[int | None]:
    """Return when the next job is due, in ms."""
    at: int | None = (yield _NEXT_WAKE())[0]["at"]
    return at


# -- runs ----------------------------------------------------------------------------------------


def insert_run(run: Run) -> Work[bool]:
    """Add a run; `False` when its slot has one, or the job has an open one."""
    return bool((yield _INSERT_RUN(**_run_values(run))))


def move_run(run: Run, moved: Run) -> Work[bool]:
    """Take a run to its next state; `False` when it is not in the one that was read any more."""
    values = _run_values(moved)
    new = {f"new_{name}": values[name] for name in _ENDING}
    return bool((yield _MOVE_RUN(id=run.job_id, at_slot=run.slot, from_state=run.state, **new)))


def open_run_of(job_id: str) -> Work[Run | None]:
    """Return the run of a job that has not ended, or `None`."""
    row = one((yield _OPEN_RUN_OF(id=job_id)))
    return None if row is None else run_from_row(row)


def open_runs(*, count: int) -> Work[list[Run]]:
    """Return runs that have not ended, the oldest first."""
    return [run_from_row(row) for row in (yield _OPEN_RUNS(count=count))]


def undelivered(*, since_ms: int, count: int) -> Work[list[Run]]:
    """Return runs finished since a time without knowing what became of their delivery."""
    return [run_from_row(row) for row in (yield _UNDELIVERED(since=since_ms, count=count))]


def find_run(run_id: str) -> Work[Run | None]:
    """Return a run, or `None`."""
    row = one((yield _GET_RUN(id=run_id)))
    return None if row is None else run_from_row(row)


# -- rows ----------------------------------------------------------------------------------------


def job_from_row(row: Row) -> Job:
    """Read a full cron_jobs row."""
    values: dict[str, Any] = {name: row[name] for name in _JOB_COLUMNS}
    values["is_enabled"] = bool(values["is_enabled"])
    values["definition"] = _definition_decoder.decode(values["definition"])
    values["state"] = _state_decoder.decode(values["state"])
    return Job(**values)


def run_from_row(row: Row) -> Run:
    """Read a full cron_runs row."""
    values: dict[str, Any] = {name: row[name] for name in _RUN_COLUMNS}
    values["state"] = RunState(values["state"])
    for name in ("owns_session", "best_effort"):
        values[name] = bool(values[name])
    if values["route"] is not None:
        values["route"] = _route_decoder.decode(values["route"])
    return Run(**values)


def _job_values(job: Job) -> dict[str, Any]:
    return {
        **{name: getattr(job, name) for name in _JOB_COLUMNS},
        "is_enabled": int(job.is_enabled),
        "definition": _json(job.definition),
        "state": _json(job.state),
    }


def _run_values(run: Run) -> dict[str, Any]:
    return {
        **{name: getattr(run, name) for name in _RUN_COLUMNS},
        "state": run.state.value,
        "owns_session": int(run.owns_session),
        "best_effort": int(run.best_effort),
        "route": None if run.route is None else _json(run.route),
    }


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
