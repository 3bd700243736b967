"""RPC methods of scheduled jobs.

Source: OpenClaw gateway protocol, "cron.*".
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from portico.automation.cron.definition import CronAdd, CronJobPatch
from portico.automation.cron.history import RunFilter
from portico.automation.cron.model import DeliveryStatus, Job, NonEmpty, RunStatus
from portico.automation.cron.service import (
    CronService,
    JobFilter,
    JobNotFound,
    JobSort,
    RunMode,
)
from portico.automation.cron.store import Run
from portico.automation.cron.views import JobView, Views, entry_of
from portico.protocol import keys
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.sessions.service import Sessions

DEFAULT_LIMIT = 50
PageSize = Annotated[int, msgspec.Meta(ge=1, le=200)]
Count = Annotated[int, msgspec.Meta(ge=0)]
JobId = Annotated[str, msgspec.Meta(min_length=1, pattern=r"^[^/\\]+$")]


class CronList(Params, frozen=True, kw_only=True):
    """`{includeDisabled?, enabled?, query?, sortBy?, limit?, offset?, …}`."""

    session_key: NonEmpty | None = None
    session_agent_id: NonEmpty | None = None
    include_disabled: bool = False
    limit: PageSize = DEFAULT_LIMIT
    offset: Count = 0
    query: str | None = None
    enabled: Literal["all", "enabled", "disabled"] | None = None
    schedule_kind: Literal["all", "at", "every", "cron", "on-exit", "stream"] = "all"
    last_run_status: Literal["all", "ok", "error", "skipped", "unknown"] = "all"
    trigger: Literal["all", "conditional", "unconditional"] = "all"
    sort_by: JobSort = "nextRunAtMs"
    sort_dir: Literal["asc", "desc"] = "asc"
    agent_id: NonEmpty | None = None
    compact: bool = False
    include_delivery_previews: bool = False


class JobsListed(Result, frozen=True, kw_only=True):
    """A page of jobs.

    Attributes:
        snapshot_revision: the same on all pages of one list; clients that see another begin anew.
    """

    jobs: Sequence[dict[str, Any]] = msgspec.field()
    total: int = msgspec.field()
    offset: int = msgspec.field()
    limit: int = msgspec.field()
    has_more: bool = msgspec.field()
    next_offset: int | None = msgspec.field()
    snapshot_revision: str = msgspec.field()
    delivery_previews: dict[str, dict[str, str]] | None = None


class OneJob(Params, frozen=True, kw_only=True):
    """`{id}` or `{jobId}`."""

    id: NonEmpty | None = None
    job_id: NonEmpty | None = None


class CronUpdate(Params, frozen=True, kw_only=True):
    """`{id | jobId, patch, expectedConfigRevision?}`."""

    patch: CronJobPatch
    id: NonEmpty | None = None
    job_id: NonEmpty | None = None
    expected_config_revision: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = (
        None
    )


class CronRun(Params, frozen=True, kw_only=True):
    """`{id | jobId, mode?}`; mode force: whatever its schedule says and even when switched off."""

    id: NonEmpty | None = None
    job_id: NonEmpty | None = None
    mode: RunMode = "force"
    expected_process_instance_id: NonEmpty | None = None


class CronRuns(Params, frozen=True, kw_only=True):
    """`{id | jobId, status?, query?, limit?, …}` or `{scope: "all", …}`."""

    agent_id: NonEmpty | None = None
    scope: Literal["job", "all"] | None = None
    id: JobId | None = None
    job_id: JobId | None = None
    run_id: NonEmpty | None = None
    limit: PageSize = DEFAULT_LIMIT
    offset: Count = 0
    statuses: Annotated[list[RunStatus], msgspec.Meta(min_length=1, max_length=3)] | None = None
    status: Literal["all", "ok", "error", "skipped"] | None = None
    delivery_statuses: (
        Annotated[list[DeliveryStatus], msgspec.Meta(min_length=1, max_length=4)] | None
    ) = None
    delivery_status: DeliveryStatus | None = None
    query: str | None = None
    sort_dir: Literal["asc", "desc"] = "desc"


class CronStatusShown(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Whether jobs run by themselves, how many there are, when the next one is due."""

    enabled: bool
    triggers_enabled: bool
    store_path: str
    storage: str
    sqlite_path: str | None
    jobs: int
    next_wake_at_ms: int | None


class JobAdded(JobView, frozen=True, kw_only=True):
    """The job, and where its answers will go."""

    delivery_preview: dict[str, str] | None = None


class JobDeclared(Result, frozen=True, kw_only=True):
    """The job a declaration key stands for, and whether it was made or changed."""

    created: bool = msgspec.field()
    job: JobView = msgspec.field()
    updated: bool | None = None
    delivery_preview: dict[str, str] | None = None


class Removed(Result, frozen=True, omit_defaults=False):
    """The job is gone."""

    ok: bool = True
    removed: bool = True


class Enqueued(Result, frozen=True, kw_only=True):
    """The run is on disk."""

    ok: bool = msgspec.field()
    enqueued: bool = msgspec.field()
    run_id: str = msgspec.field()
    process_instance_id: str = msgspec.field()


class NotRun(Result, frozen=True, kw_only=True):
    """Nothing was run, and why."""

    ok: bool = msgspec.field()
    ran: bool = msgspec.field()
    reason: str = msgspec.field()
    process_instance_id: str = msgspec.field()


class RunsListed(Result, frozen=True, kw_only=True, omit_defaults=False):
    """A page of finished runs."""

    entries: Sequence[dict[str, Any]]
    total: int
    offset: int
    limit: int
    has_more: bool
    next_offset: int | None


@dataclass(frozen=True, slots=True)
class CronMethodSettings:
    """What the answers say of the gateway.

    Attributes:
        store_path: where the rows are, without credentials.
    """

    boot_id: str
    store_path: str
    is_sqlite: bool


class CronMethods:
    """`cron.*`."""

    def __init__(
        self, *, cron: CronService, sessions: Sessions, views: Views, settings: CronMethodSettings
    ) -> None:
        self._cron = cron
        self._sessions = sessions
        self._views = views
        self._settings = settings

    @method("cron.list", scope=Scope.READ)
    async def list(self, call: Call, params: CronList) -> JobsListed:
        """List scheduled jobs, the next one first."""
        found = await self._cron.jobs(
            self._filter(params), sort_by=params.sort_by, descending=params.sort_dir == "desc"
        )
        if params.trigger == "conditional":  # no job here has a condition
            found = []
        page = found[params.offset : params.offset + params.limit]
        after = params.offset + len(page)
        shows_previews = params.include_delivery_previews or not params.compact
        previews = {job.job_id: self._views.preview(job) for job, _ in page}
        return JobsListed(
            jobs=[
                self._views.compact(job) if params.compact else self._views.listed(job, running)
                for job, running in page
            ],
            total=len(found),
            offset=params.offset,
            limit=params.limit,
            has_more=after < len(found),
            next_offset=after if after < len(found) else None,
            snapshot_revision=_revision_of(found),
            delivery_previews=previews if shows_previews else None,
        )

    def _filter(self, params: CronList) -> JobFilter:
        is_enabled = None if params.include_disabled else True
        if params.enabled is not None:
            is_enabled = {"all": None, "enabled": True, "disabled": False}[params.enabled]
        key = params.session_key
        return JobFilter(
            is_enabled=is_enabled,
            agent_id=params.agent_id and keys.normalize_agent_id(params.agent_id),
            session_key=key and self._sessions.key(key, params.session_agent_id),
            schedule_kind=None if params.schedule_kind == "all" else params.schedule_kind,
            last_status=None if params.last_run_status == "all" else params.last_run_status,
            search=params.query,
        )

    @method("cron.status", scope=Scope.READ)
    async def status(self, call: Call, params: Empty) -> CronStatusShown:
        """Say whether the scheduler runs, and when the next job is due."""
        is_enabled, total, wake_at = await self._cron.status()
        path = self._settings.store_path if Scope.ADMIN in call.principal.scopes else "[redacted]"
        return CronStatusShown(
            enabled=is_enabled,
            triggers_enabled=False,
            store_path=path,
            storage="sqlite" if self._settings.is_sqlite else "postgresql",
            sqlite_path=path if self._settings.is_sqlite else None,
            jobs=total,
            next_wake_at_ms=wake_at,
        )

    @method("cron.get", scope=Scope.READ)
    async def get(self, call: Call, params: OneJob) -> JobView:
        """Show one scheduled job."""
        job_id = _id_of(params, "cron.get")
        try:
            job, running = await self._cron.get(job_id)
        except JobNotFound as error:  # clients know this method's older words
            raise InvalidRequest(f"cron job not found: {job_id}", details=error.details) from None
        return self._views.job(job, running)

    @method("cron.add", scope=Scope.ADMIN, throttled=True)
    async def add(self, call: Call, params: CronAdd) -> JobAdded | JobDeclared:
        """Add a scheduled job; under a known declaration key, make that job what is asked for."""
        added = await self._cron.add(params)
        view, preview = self._views.job(added.job), self._views.preview(added.job)
        if params.declaration_key is None:
            return JobAdded(**_members(view), delivery_preview=preview)
        return JobDeclared(
            created=added.is_new,
            updated=None if added.is_new else added.is_changed,
            job=view,
            delivery_preview=preview,
        )

    @method("cron.update", scope=Scope.ADMIN, throttled=True)
    async def update(self, call: Call, params: CronUpdate) -> JobView:
        """Change a scheduled job."""
        job = await self._cron.update(
            _id_of(params, "cron.update"),
            params.patch,
            expected_revision=params.expected_config_revision,
        )
        return self._views.job(job)

    @method("cron.remove", scope=Scope.ADMIN, throttled=True)
    async def remove(self, call: Call, params: OneJob) -> Removed:
        """Delete a scheduled job; a run that has begun goes on to its end."""
        await self._cron.remove(_id_of(params, "cron.remove"))
        return Removed()

    @method("cron.run", scope=Scope.ADMIN, throttled=True)
    async def run(self, call: Call, params: CronRun) -> Enqueued | NotRun:
        """Run a scheduled job now; its end comes as a `cron` event and into `cron.runs`."""
        boot_id, expected = self._settings.boot_id, params.expected_process_instance_id
        if expected is not None and expected != boot_id:
            raise InvalidRequest("the gateway was restarted since; look again and retry")
        ran = await self._cron.run(_id_of(params, "cron.run"), params.mode)
        if ran.run_id is None:
            return NotRun(
                ok=True, ran=False, reason=ran.reason or "not-due", process_instance_id=boot_id
            )
        return Enqueued(ok=True, enqueued=True, run_id=ran.run_id, process_instance_id=boot_id)

    @method("cron.runs", scope=Scope.READ)
    async def runs(self, call: Call, params: CronRuns) -> RunsListed:
        """Show finished runs of a job, or of all, the latest first."""
        job_id = params.job_id or params.id
        if job_id is None and params.scope != "all":
            raise InvalidRequest('invalid cron.runs params: id, or scope "all", is required')
        statuses = [params.status] if params.status not in {None, "all"} else params.statuses
        deliveries = (
            [params.delivery_status] if params.delivery_status else params.delivery_statuses
        )
        wanted = RunFilter(
            job_id=None if params.scope == "all" else job_id,
            run_id=params.run_id,
            agent_id=params.agent_id and keys.normalize_agent_id(params.agent_id),
            statuses=tuple(str(status) for status in statuses) if statuses else None,
            deliveries=tuple(deliveries) if deliveries else None,
            search=params.query or None,
        )
        found, total = await self._cron.runs(
            wanted, limit=params.limit, offset=params.offset, sort=params.sort_dir
        )
        after = params.offset + len(found)
        return RunsListed(
            entries=[entry_of(run) for run in found],
            total=total,
            offset=params.offset,
            limit=params.limit,
            has_more=after < total,
            next_offset=after if after < total else None,
        )


def _id_of(params: OneJob | CronUpdate | CronRun, name: str) -> str:
    job_id = params.job_id or params.id
    if job_id is None:
        raise InvalidRequest(f"invalid {name} params: must have required property 'id'")
    return job_id


def _revision_of(found: Sequence[tuple[Job, Run | None]]) -> str:
    listed = "\n".join(f"{job.job_id} {job.revision}" for job, _ in found)
    return hashlib.blake2b(listed.encode(), digest_size=12).hexdigest()


def _members(view: JobView) -> dict[str, Any]:
    return {name: getattr(view, name) for name in JobView.__struct_fields__}
