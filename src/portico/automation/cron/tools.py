"""The tool with which an agent keeps its own appointments.

Guarantees: an agent sees, changes and runs only jobs of its own, and makes them only for itself; a
turn that has read text from outside only looks. What a job's runs answered is read with the session
tools, which know whom to believe; here is only how they ended.

Source: OpenClaw, `cron` tool.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import msgspec

from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, tool
from portico.automation.cron.asking import text_of
from portico.automation.cron.definition import CronAdd, CronJobPatch
from portico.automation.cron.history import RunFilter
from portico.automation.cron.model import (
    AgentTurn,
    At,
    CronExpression,
    Delivery,
    Every,
    Job,
    Misfire,
    MisfirePolicy,
    NonEmpty,
    Owner,
    Payload,
    Positive,
    Schedule,
    SystemEvent,
)
from portico.automation.cron.service import CronService, JobFilter, JobNotFound
from portico.automation.cron.store import Run
from portico.automation.cron.views import Views, entry_of
from portico.config.durations import parse_duration_ms
from portico.protocol import keys
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope

MAX_LISTED = 200
_SHOWN_OF_A_RUN = ("runId", "status", "completionStatus", "error", "runAtMs", "durationMs",
                   "deliveryStatus", "sessionKey")  # fmt: skip
Action = Literal["status", "list", "get", "add", "update", "remove", "run", "runs"]
_CHANGES = frozenset({"add", "update", "remove", "run"})


class CronArgs(ToolArgs, frozen=True, kw_only=True):
    """What `cron` takes."""

    action: Action
    job_id: Annotated[
        NonEmpty | None, msgspec.Meta(description="Which job; for all actions on one.")
    ] = None
    name: Annotated[NonEmpty | None, msgspec.Meta(description="What the job is called.")] = None
    at: Annotated[
        NonEmpty | None,
        msgspec.Meta(description="Once: an ISO 8601 time with its offset; without one it is UTC."),
    ] = None
    every: Annotated[NonEmpty | None, msgspec.Meta(description="Again and again: 10m, 1h, 1d.")] = (
        None
    )
    cron: Annotated[
        NonEmpty | None,
        msgspec.Meta(description="A cron expression of 5 fields, such as 0 7 * * 1-5."),
    ] = None
    tz: Annotated[
        NonEmpty | None, msgspec.Meta(description="IANA time zone of the cron expression.")
    ] = None
    message: Annotated[
        NonEmpty | None,
        msgspec.Meta(description="What you will be asked then. Write it so that it needs no more."),
    ] = None
    session: Annotated[
        Literal["isolated", "main", "current"] | None,
        msgspec.Meta(
            description="isolated: a new session each time (usual); main: your main session; "
            "current: the session of this turn."
        ),
    ] = None
    deliver: Annotated[
        bool | None,
        msgspec.Meta(description="Send your answer to the person (usual), or only keep it."),
    ] = None
    enabled: bool | None = None
    description: str | None = None
    misfire: Annotated[
        MisfirePolicy | None, msgspec.Meta(description="What becomes of slots that were missed.")
    ] = None
    limit: Annotated[Positive, msgspec.Meta(le=MAX_LISTED)] = 20


class CronTools:
    """`cron`."""

    def __init__(self, *, cron: CronService, views: Views) -> None:
        self._cron = cron
        self._views = views

    @tool("cron", group="automation", scope=Scope.ADMIN)
    async def cron(self, call: ToolCall, args: CronArgs) -> dict[str, Any]:
        """Keep your own appointments: jobs in which you are asked something at a time.

        Actions: list your jobs; get one; add one (name, message, and one of at, every, cron);
        update what you name; remove; run now; runs: how the last ones ended; status.
        """
        if call.is_untrusted and args.action in _CHANGES:
            raise ToolError("This turn has read text from outside: it cannot change jobs.")
        match args.action:
            case "status":
                return await self._status(call)
            case "list":
                return {"jobs": [self._views.compact(job) for job in await self._own(call)]}
            case "add":
                added = await self._cron.add(_asked(call, args))
                return self._shown(added.job)
            case _:  # the others are about one job
                pass
        job, running = await self._one(call, args)
        match args.action:
            case "get":
                return self._shown(job, running)
            case "update":
                return self._shown(await self._cron.update(job.job_id, _patch(call, args, job)))
            case "remove":
                await self._cron.remove(job.job_id)
                return {"removed": job.job_id}
            case "run":
                ran = await self._cron.run(job.job_id, "force")
                return {"runId": ran.run_id} if ran.run_id else {"ran": False, "reason": ran.reason}
            case _:
                return await self._runs(job, args.limit)

    async def _status(self, call: ToolCall) -> dict[str, Any]:
        is_enabled, _, _ = await self._cron.status()
        jobs = await self._own(call)
        upcoming = [job.wake_at for job in jobs if job.is_enabled and job.wake_at is not None]
        return {
            "enabled": is_enabled,
            "jobs": len(jobs),
            "nextRunAtMs": min(upcoming, default=None),
        }

    async def _own(self, call: ToolCall) -> list[Job]:
        wanted = JobFilter(is_enabled=None, agent_id=call.agent_id)
        return [job for job, _ in await self._cron.jobs(wanted)][:MAX_LISTED]

    async def _one(self, call: ToolCall, args: CronArgs) -> tuple[Job, Run | None]:
        if args.job_id is None:
            raise ToolError(f"Say which job to {args.action}: jobId.")
        job, running = await self._cron.get(args.job_id)
        if self._views.effective_agent(job) != call.agent_id:
            raise JobNotFound(args.job_id)  # another agent's and none at all are told alike
        return job, running

    async def _runs(self, job: Job, limit: int) -> dict[str, Any]:
        wanted = RunFilter(job_id=job.job_id)
        found, total = await self._cron.runs(wanted, limit=limit, offset=0, sort="desc")
        shown = [
            {name: value for name, value in entry_of(run).items() if name in _SHOWN_OF_A_RUN}
            for run in found
        ]
        return {"runs": shown, "total": total}

    def _shown(self, job: Job, running: Run | None = None) -> dict[str, Any]:
        return cast("dict[str, Any]", msgspec.to_builtins(self._views.job(job, running)))


def _asked(call: ToolCall, args: CronArgs) -> CronAdd:
    schedule = _schedule(args)
    if args.name is None or args.message is None or schedule is None:
        raise ToolError("A job needs a name, a message, and one of at, every and cron.")
    payload, target = _payload(args.message, args.session or "isolated")
    return CronAdd(
        name=args.name,
        schedule=schedule,
        payload=payload,
        session_target=target,
        agent_id=call.agent_id,
        session_key=None if target == "main" else _conversation(call),
        owner=Owner(agent_id=call.agent_id, session_key=call.session_key),
        description=args.description,
        enabled=args.enabled,
        delivery=_delivery(args, target),
        misfire=Misfire(policy=args.misfire) if args.misfire else None,
    )


def _patch(call: ToolCall, args: CronArgs, job: Job) -> CronJobPatch:
    changed: dict[str, Any] = {
        name: value
        for name in ("name", "description", "enabled")
        if (value := getattr(args, name)) is not None
    }
    if (schedule := _schedule(args)) is not None:
        changed["schedule"] = schedule
    if args.misfire is not None:
        changed["misfire"] = Misfire(policy=args.misfire)
    old = job.definition
    text = args.message or text_of(job)
    if args.session is not None:
        payload, target = _payload(text, args.session)
        changed |= {"payload": msgspec.to_builtins(payload), "session_target": target}
        if args.session == "current":
            changed["session_key"] = _conversation(call)
    elif args.message is not None:
        name = "message" if isinstance(old.payload, AgentTurn) else "text"
        kind = "agentTurn" if isinstance(old.payload, AgentTurn) else "systemEvent"
        changed["payload"] = {"kind": kind, name: text}
    if args.deliver is not None:
        changed["delivery"] = {"mode": "announce" if args.deliver else "none"}
    return CronJobPatch(**changed)


def _conversation(call: ToolCall) -> str | None:
    """Return where answers go and what `current` means; a run's own session will be forgotten."""
    is_passing = keys.parse(call.session_key).rest.startswith("cron:")
    return None if is_passing else call.session_key


def _schedule(args: CronArgs) -> Schedule | None:
    given = [value for value in (args.at, args.every, args.cron) if value is not None]
    if not given:
        return None
    if len(given) > 1:
        raise ToolError("Give one of at, every and cron.")
    if args.at is not None:
        return At(args.at)
    if args.every is None:
        return CronExpression(expr=given[0], tz=args.tz)
    try:
        return Every(max(1, parse_duration_ms(args.every, unit="s")))
    except ValueError as error:
        raise InvalidRequest(f"every: {error}") from None


def _payload(text: str, session: str) -> tuple[Payload, str]:
    if session == "main":
        return SystemEvent(text=text), "main"
    return AgentTurn(message=text), session


def _delivery(args: CronArgs, target: str) -> Delivery | None:
    if target == "main":
        return None
    return Delivery(mode="none" if args.deliver is False else "announce")
