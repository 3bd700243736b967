"""Jobs and runs in the shapes the wire shows.

Source: OpenClaw gateway protocol, `CronJob`, `CronRunLogEntry`, "cron.list" with `compact`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from portico.agents.service import Agents
from portico.automation.cron.model import (
    AnyPayload,
    Delivery,
    DeliveryStatus,
    Job,
    JobState,
    Misfire,
    Owner,
    RunStatus,
    Schedule,
)
from portico.automation.cron.store import Run
from portico.protocol.validation import Result


class JobStateView(Result, frozen=True, kw_only=True):
    """How a job's runs went, and when the next one is."""

    next_run_at_ms: int | None = None
    running_at_ms: int | None = None
    last_run_at_ms: int | None = None
    last_run_status: RunStatus | None = None
    last_status: RunStatus | None = None
    last_error: str | None = None
    last_duration_ms: int | None = None
    consecutive_errors: int | None = None
    consecutive_skipped: int | None = None
    auto_disabled: dict[str, Any] | None = None
    last_delivered: bool | None = None
    last_delivery_status: DeliveryStatus | None = None
    last_delivery_error: str | None = None


class JobView(Result, frozen=True, kw_only=True):
    """One job. `misfire` is Portico's own and there only when a job says something about it."""

    id: str = msgspec.field()
    name: str = msgspec.field()
    enabled: bool = msgspec.field()
    created_at_ms: int = msgspec.field()
    updated_at_ms: int = msgspec.field()
    schedule: Schedule = msgspec.field()
    session_target: str = msgspec.field()
    wake_mode: Literal["now", "next-heartbeat"] = msgspec.field()
    payload: AnyPayload = msgspec.field()
    state: JobStateView = msgspec.field()
    declaration_key: str | None = None
    display_name: str | None = None
    owner: Owner | None = None
    agent_id: str | None = None
    session_key: str | None = None
    description: str | None = None
    delete_after_run: bool | None = None
    config_revision: str | None = None
    delivery: Delivery | None = None
    misfire: Misfire | None = None
    next_run_at_ms: int | None = None
    last_run_at_ms: int | None = None
    last_run_status: RunStatus | None = None
    last_run_error: str | None = None
    last_delivered: bool | None = None
    last_delivery_status: DeliveryStatus | None = None
    last_delivery_error: str | None = None


class Views:
    """Shows jobs."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    def job(self, job: Job, running: Run | None = None) -> JobView:
        """Return a job as clients see it."""
        definition, state = job.definition, _state(job, running)
        return JobView(
            id=job.job_id,
            name=job.name,
            enabled=job.is_enabled,
            created_at_ms=job.created_at,
            updated_at_ms=job.updated_at,
            schedule=definition.schedule,
            session_target=definition.session_target,
            wake_mode=definition.wake_mode,
            payload=definition.payload,
            state=state,
            declaration_key=job.declaration_key,
            display_name=definition.display_name,
            owner=definition.owner,
            agent_id=job.agent_id,
            session_key=definition.session_key,
            description=definition.description,
            delete_after_run=definition.delete_after_run,
            config_revision=job.revision,
            delivery=definition.delivery,
            misfire=definition.misfire if definition.misfire != Misfire() else None,
            next_run_at_ms=state.next_run_at_ms,
            last_run_at_ms=state.last_run_at_ms,
            last_run_status=state.last_run_status,
            last_run_error=state.last_error,
            last_delivered=state.last_delivered,
            last_delivery_status=state.last_delivery_status,
            last_delivery_error=state.last_delivery_error,
        )

    def listed(self, job: Job, running: Run | None = None) -> dict[str, Any]:
        """Return a job as lists show it."""
        shown: dict[str, Any] = msgspec.to_builtins(self.job(job, running))
        return {**shown, "effectiveAgentId": self.effective_agent(job)}

    def compact(self, job: Job) -> dict[str, Any]:
        """Return a job as short lists show it."""
        wake_at = job.wake_at if job.is_enabled else None
        return {
            "id": job.job_id,
            "name": job.name,
            "enabled": job.is_enabled,
            "effectiveAgentId": self.effective_agent(job),
            "nextRunAt": _iso(wake_at),
            "nextRunAtMs": wake_at,
            "scheduleKind": kind_of(job),
            "schedule": msgspec.to_builtins(job.schedule),
            "lastRunAt": _iso(job.state.last_run_at_ms),
            "lastRunStatus": job.state.last_run_status,
        }

    def effective_agent(self, job: Job) -> str | None:
        """Return the agent that runs a job; `None` when it is not configured."""
        agent_id = job.agent_id or self._agents.default_id
        return agent_id if self._agents.find(agent_id) is not None else None

    def preview(self, job: Job) -> dict[str, str]:
        """Return where a job's answers go, in a word and a sentence."""
        delivery = job.definition.delivery
        if delivery is None or delivery.mode == "none":
            kept = (
                "with the job" if job.definition.session_target == "isolated" else "in the session"
            )
            return {"label": "not delivered", "detail": f"the answer is kept {kept}"}
        channel = delivery.channel or "last"
        if channel == "last" and delivery.to is None:
            detail = "where the last message came from, or the chat of the main session"
            return {"label": "announce → last", "detail": detail}
        target = f"{channel}:{delivery.to}" if delivery.to else channel
        return {"label": f"announce → {target}", "detail": f"sent to {target}"}


def kind_of(job: Job) -> str:
    """Return the kind of a job's schedule."""
    return str(msgspec.to_builtins(job.schedule)["kind"])


def entry_of(run: Run) -> dict[str, Any]:
    """Return a finished run as the history shows it."""
    entry: dict[str, Any] = {
        "ts": run.ended_at or run.started_at,
        "jobId": run.job_id,
        "action": "finished",
        "status": run.status,
        "completionStatus": "unknown" if run.status == "skipped" else run.completion,
        "error": run.error,
        "errorReason": run.error_reason,
        "summary": run.summary,
        "delivered": _delivered(run.delivery_status),
        "deliveryStatus": run.delivery_status,
        "deliveryError": run.delivery_error,
        "deliverySuppressionReason": run.suppressed,
        "delivery": _delivery(run),
        "sessionId": run.session_id,
        "sessionKey": run.session_key,
        "runId": run.run_id,
        "runAtMs": run.started_at,
        "durationMs": max(0, (run.ended_at or run.started_at) - run.started_at),
        "nextRunAtMs": run.next_run_at,
        "model": run.model,
        "provider": run.provider,
        "usage": _usage(run),
        "jobName": run.job_name,
    }
    return {name: value for name, value in entry.items() if value is not None}


def _usage(run: Run) -> dict[str, int] | None:
    if not (run.input_tokens or run.output_tokens):
        return None
    return {
        "input_tokens": run.input_tokens,
        "output_tokens": run.output_tokens,
        "total_tokens": run.input_tokens + run.output_tokens,
    }


def _delivery(run: Run) -> dict[str, Any] | None:
    route = run.route
    if route is None:
        return None
    resolved: dict[str, Any] = {
        "ok": True,
        "channel": route.channel,
        "to": route.peer.id,
        "accountId": route.account,
    }
    if route.thread_id is not None:
        resolved["threadId"] = route.thread_id
    delivered = _delivered(run.delivery_status)
    return {"resolved": resolved, **({} if delivered is None else {"delivered": delivered})}


def _delivered(status: DeliveryStatus | None) -> bool | None:
    return None if status in {None, "not-requested", "unknown"} else status == "delivered"


def _state(job: Job, running: Run | None) -> JobStateView:
    state: JobState = job.state
    disabled = state.auto_disabled
    return JobStateView(
        next_run_at_ms=job.wake_at if job.is_enabled else None,
        running_at_ms=running.started_at if running else None,
        last_run_at_ms=state.last_run_at_ms,
        last_run_status=state.last_run_status,
        last_status=state.last_run_status,
        last_error=state.last_error,
        last_duration_ms=state.last_duration_ms,
        consecutive_errors=state.consecutive_errors,
        consecutive_skipped=state.consecutive_skipped or None,
        auto_disabled=None if disabled is None else msgspec.to_builtins(disabled),
        last_delivered=_delivered(state.last_delivery_status),
        last_delivery_status=state.last_delivery_status,
        last_delivery_error=state.last_delivery_error,
    )


def _iso(at_ms: int | None) -> str | None:
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
