"""Jobs: add, change, remove, list, run by hand.

Guarantees: a change is committed before it is announced and before anything acts on it; the number
of jobs is limited; a job that is changed or switched on again runs what comes, not what was missed.

Not here: who may do this (rpc.py, tools.py), running (scheduler.py).

Source: OpenClaw gateway protocol, "cron.*".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Literal

import msgspec

from portico.automation.cron import history
from portico.automation.cron import store as cron_store
from portico.automation.cron.definition import CronAdd, CronJobPatch, Definitions, is_past
from portico.automation.cron.history import RunFilter, SortDir
from portico.automation.cron.life import Rules, first_plan
from portico.automation.cron.model import Definition, Job, JobState, RunStatus, is_heartbeat
from portico.automation.cron.publish import CronEvents
from portico.automation.cron.schedule import BadSchedule
from portico.automation.cron.scheduler import Scheduler
from portico.automation.cron.store import Run
from portico.automation.cron.views import kind_of
from portico.clock import Clock
from portico.ids import new_id
from portico.protocol import keys
from portico.protocol.errors import InvalidRequest
from portico.store import Store, Work

RunMode = Literal["due", "force", "if-enabled"]
JobSort = Literal["nextRunAtMs", "updatedAtMs", "name"]
NotRun = Literal["stopped", "not-due", "disabled", "already-running", "invalid-spec", "ownerless"]
_LAST = 2**63


class JobNotFound(InvalidRequest):
    """There is no such job."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"unknown cron job id: {job_id}",
            details={"code": "CRON_JOB_NOT_FOUND", "jobId": job_id},
        )


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs; `None`: whatever it is.

    Attributes:
        agent_id: whose jobs, the default agent's among them when it is meant.
        search: part of the name, id or description, in any case.
    """

    is_enabled: bool | None = True
    agent_id: str | None = None
    session_key: str | None = None
    schedule_kind: str | None = None
    last_status: RunStatus | Literal["unknown"] | None = None
    search: str | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """A job that was asked for.

    Attributes:
        is_new: it was made now.
        is_changed: it was there under its declaration key, and is another one now.
    """

    job: Job
    is_new: bool
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class Ran:
    """Whether a job was made to run; the run's id, or why not."""

    run_id: str | None
    reason: NotRun | None = None


class CronService:
    """The jobs of this gateway."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        definitions: Definitions,
        scheduler: Scheduler,
        events: CronEvents,
        agent_of: Callable[[Job], str | None],
        default_agent: Callable[[], str],
        rules: Rules,
        max_jobs: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._definitions = definitions
        self._scheduler = scheduler
        self._events = events
        self._agent_of = agent_of
        self._default_agent = default_agent
        self._rules = rules
        self._max_jobs = max_jobs
        self._numbers = count(1)

    def configure(self, rules: Rules, *, max_jobs: int) -> None:
        """Take jobs by other rules from now on."""
        self._rules = rules
        self._max_jobs = max_jobs

    # -- reading ---------------------------------------------------------------------------------

    async def get(self, job_id: str) -> tuple[Job, Run | None]:
        """Return a job and its open run.

        Raises:
            JobNotFound: there is no such job.
        """

        def work() -> Work[tuple[Job | None, Run | None]]:
            job = yield from cron_store.find_job(job_id)
            run = yield from cron_store.open_run_of(job_id)
            return job, run

        job, run = await self._store.read(work)
        if job is None:
            raise JobNotFound(job_id)
        return job, run

    async def jobs(
        self, wanted: JobFilter, *, sort_by: JobSort = "nextRunAtMs", descending: bool = False
    ) -> list[tuple[Job, Run | None]]:
        """Return the jobs a filter names, each with its open run."""

        def work() -> Work[tuple[list[Job], list[Run]]]:
            jobs = yield from cron_store.all_jobs()
            runs = yield from cron_store.open_runs(count=self._max_jobs)
            return jobs, runs

        jobs, runs = await self._store.scan(work)
        running = {run.job_id: run for run in runs}
        found = [job for job in jobs if self._fits(job, wanted)]
        found.sort(key=lambda job: _sort_key(job, sort_by), reverse=descending)
        return [(job, running.get(job.job_id)) for job in found]

    def _fits(self, job: Job, wanted: JobFilter) -> bool:
        definition = job.definition
        sessions = {definition.session_key, definition.session_target.partition(":")[2] or None}
        texts = (job.name, job.job_id, definition.description or "", definition.display_name or "")
        return (
            wanted.is_enabled in {None, job.is_enabled}
            and wanted.agent_id in {None, job.agent_id or self._default_agent()}
            and (wanted.session_key is None or wanted.session_key in sessions)
            and wanted.schedule_kind in {None, kind_of(job)}
            and wanted.last_status in {None, job.state.last_run_status or "unknown"}
            and (wanted.search or "").lower() in "\n".join(texts).lower()
        )

    async def runs(
        self, wanted: RunFilter, *, limit: int, offset: int, sort: SortDir
    ) -> tuple[list[Run], int]:
        """Return a page of finished runs, and how many there are."""
        return await self._store.scan(history.page, wanted, limit=limit, offset=offset, sort=sort)

    async def status(self) -> tuple[bool, int, int | None]:
        """Return whether jobs run by themselves, how many there are, and when the next is due."""

        def work() -> Work[tuple[int, int | None]]:
            total = yield from cron_store.count_jobs()
            wake_at = yield from cron_store.next_wake()
            return total, wake_at

        total, wake_at = await self._store.read(work)
        is_enabled = self._scheduler.is_enabled
        return is_enabled, total, wake_at if is_enabled else None

    # -- changing --------------------------------------------------------------------------------

    async def add(self, asked: CronAdd) -> Added:
        """Add a job; or, under a declaration key that is known, make that job what is asked for.

        Raises:
            InvalidRequest: it cannot run, asks for what is not offered, or is one too many.
        """
        now = self._clock.now_ms()
        definition = self._definitions.new(asked, now=now)
        added = await self._store.write(self._add, asked, definition, now)
        if added.is_new:
            self._events.added(added.job)
        elif added.is_changed:
            self._events.changed(added.job)
        self._scheduler.wake()
        return added

    def _add(self, asked: CronAdd, definition: Definition, now: int) -> Work[Added]:
        if asked.declaration_key is not None:
            known = yield from cron_store.find_declared(asked.declaration_key)
            if known is not None:
                return (yield from self._redeclare(known.job_id, asked, definition, now))
        if (yield from cron_store.count_jobs()) >= self._max_jobs:
            raise InvalidRequest(f"there are {self._max_jobs} jobs already (cron.maxJobs)")
        job = Job(
            job_id=new_id("job"),
            name=asked.name,
            declaration_key=asked.declaration_key,
            agent_id=_normal(asked.agent_id),
            is_enabled=asked.enabled is not False,
            definition=definition,
            state=JobState(),
            slot_at=None,
            wake_at=None,
            revision=new_id("rev"),
            created_at=now,
            updated_at=now,
        )
        job = self._scheduled(job, now)
        yield from cron_store.insert_job(job)
        return Added(job, is_new=True)

    def _redeclare(
        self, job_id: str, asked: CronAdd, definition: Definition, now: int
    ) -> Work[Added]:
        job = yield from cron_store.lock_job(job_id)
        if job is None:
            raise JobNotFound(job_id)
        if _means(asked, job):
            definition = msgspec.structs.replace(definition, schedule=job.schedule)
        wants_enabled = job.is_enabled if asked.enabled is None else asked.enabled
        declared = msgspec.structs.replace(
            job, name=asked.name, agent_id=_normal(asked.agent_id), definition=definition
        )
        if declared == job and wants_enabled == job.is_enabled:
            return Added(job, is_new=False)
        changed = self._changed(job, declared, wants_enabled, now)
        yield from cron_store.update_job(changed)
        return Added(changed, is_new=False, is_changed=True)

    async def update(
        self, job_id: str, patch: CronJobPatch, *, expected_revision: str | None = None
    ) -> Job:
        """Change a job.

        Raises:
            JobNotFound: there is no such job.
            InvalidRequest: it cannot run so, or is not the revision the caller looked at.
        """
        job = await self._store.write(
            self._update, job_id, patch, expected_revision, self._clock.now_ms()
        )
        self._events.changed(job)
        self._scheduler.wake()
        return job

    def _update(
        self, job_id: str, patch: CronJobPatch, expected_revision: str | None, now: int
    ) -> Work[Job]:
        _refuse_heartbeat(job_id)
        job = yield from cron_store.lock_job(job_id)
        if job is None:
            raise JobNotFound(job_id)
        if expected_revision is not None and expected_revision != job.revision:
            raise InvalidRequest(
                f"cron job {job_id} changed since it was read; look again and retry",
                details={"code": "CRON_JOB_CHANGED", "configRevision": job.revision},
            )
        agent_id = job.agent_id if patch.agent_id is msgspec.UNSET else patch.agent_id
        definition = self._definitions.patched(job.definition, patch, agent_id=agent_id, now=now)
        patched = msgspec.structs.replace(
            job,
            name=job.name if patch.name is msgspec.UNSET else patch.name,
            agent_id=_normal(agent_id),
            definition=definition,
        )
        is_enabled = job.is_enabled if patch.enabled is msgspec.UNSET else patch.enabled
        changed = self._changed(job, patched, is_enabled, now)
        yield from cron_store.update_job(changed)
        return changed

    def _changed(self, old: Job, new: Job, is_enabled: bool, now: int) -> Job:  # noqa: FBT001 - reads as said
        """Return a job after a change; what it runs next follows from what was changed."""
        new = msgspec.structs.replace(
            new, is_enabled=is_enabled, revision=new_id("rev"), updated_at=now
        )
        if is_enabled and not old.is_enabled:
            state = msgspec.structs.replace(
                old.state, consecutive_errors=0, consecutive_skipped=0, auto_disabled=None
            )
            return self._scheduled(msgspec.structs.replace(new, state=state), now)
        if not is_enabled or new.schedule != old.schedule:
            return self._scheduled(new, now)
        return new

    def _scheduled(self, job: Job, now: int) -> Job:
        """Return the job with its next slot from now on.

        Raises:
            InvalidRequest: its time is over.
        """
        if not job.is_enabled:
            return msgspec.structs.replace(job, slot_at=None, wake_at=None)
        try:
            if is_past(job.schedule, now=now):
                raise InvalidRequest("schedule.at is in the past")
            after = -1 if job.is_one_shot else now
            first = first_plan(job, after_ms=after, rules=self._rules)
        except BadSchedule as error:
            raise InvalidRequest(f"invalid schedule: {error}") from None
        return msgspec.structs.replace(job, slot_at=first.slot_at, wake_at=first.wake_at)

    async def remove(self, job_id: str) -> Job:
        """Remove a job; a run of it that has begun goes on to its end.

        Raises:
            JobNotFound: there is no such job.
        """
        _refuse_heartbeat(job_id)
        job = await self._store.write(cron_store.delete_job, job_id)
        if job is None:
            raise JobNotFound(job_id)
        self._events.removed(job)
        self._scheduler.wake()
        return job

    async def run(self, job_id: str, mode: RunMode) -> Ran:
        """Make a job run now.

        Raises:
            JobNotFound: there is no such job.
            Overloaded: its conversation is full.
        """
        job, running = await self.get(job_id)
        if self._agent_of(job) is None:
            return Ran(None, "ownerless")
        if running is not None:
            return Ran(None, "already-running")
        if mode != "force" and not job.is_enabled:
            return Ran(None, "disabled")
        if mode == "due":
            begun = await self._scheduler.run_due(job)
            run = None if begun is None else begun.run
            return Ran(None, "not-due") if run is None else Ran(run.run_id)
        run_id = f"manual:{job_id}:{self._clock.now_ms()}:{next(self._numbers)}"
        if await self._scheduler.run_now(job, run_id) is None:
            return Ran(None, "already-running")
        return Ran(run_id)


def _refuse_heartbeat(job_id: str) -> None:
    if is_heartbeat(job_id):
        raise InvalidRequest("a heartbeat is changed in the configuration: agents.*.heartbeat")


def _normal(agent_id: str | None) -> str | None:
    return None if agent_id is None else keys.normalize_agent_id(agent_id)


def _means(asked: CronAdd, job: Job) -> bool:
    """Whether an interval without an anchor is the one a job has."""
    wanted, has = msgspec.to_builtins(asked.schedule), msgspec.to_builtins(job.schedule)
    return bool({**has, **wanted} == has and "anchorMs" not in wanted)


def _sort_key(job: Job, sort_by: JobSort) -> tuple[int | str, str]:
    if sort_by == "name":
        return job.name.lower(), job.job_id
    if sort_by == "updatedAtMs":
        return job.updated_at, job.job_id
    wake_at = job.wake_at if job.is_enabled else None
    return _LAST if wake_at is None else wake_at, job.job_id
