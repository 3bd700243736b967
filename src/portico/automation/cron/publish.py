"""The `cron` event.

Source: OpenClaw gateway protocol, event `cron`.
"""

from __future__ import annotations

from typing import Any

from portico.automation.cron.model import Job
from portico.automation.cron.store import Run
from portico.automation.cron.views import Views, entry_of
from portico.events.hub import Hub


class CronEvents:
    """Tells operators what happens to jobs."""

    def __init__(self, hub: Hub, views: Views) -> None:
        self._hub = hub
        self._views = views

    def added(self, job: Job) -> None:
        """A job is new."""
        self._publish("added", job.job_id, self._job(job))

    def changed(self, job: Job) -> None:
        """A job is not what it was."""
        self._publish("updated", job.job_id, self._job(job))

    def removed(self, job: Job) -> None:
        """A job is gone."""
        self._publish("removed", job.job_id, {})

    def started(self, run: Run, job: Job) -> None:
        """A run began."""
        fields = {"runId": run.run_id, "runAtMs": run.started_at, "sessionKey": run.session_key}
        self._publish("started", run.job_id, {**fields, **self._job(job, run)})

    def finished(self, run: Run, job: Job | None) -> None:
        """A run is over; `None`: its job is gone."""
        entry = entry_of(run)
        fields = {name: value for name, value in entry.items() if name not in {"ts", "action"}}
        self._publish("finished", run.job_id, {**fields, **(self._job(job) if job else {})})

    def _job(self, job: Job, running: Run | None = None) -> dict[str, Any]:
        shown: dict[str, Any] = {"job": self._views.job(job, running)}
        if job.wake_at is not None and job.is_enabled:
            shown["nextRunAtMs"] = job.wake_at
        return shown

    def _publish(self, action: str, job_id: str, fields: dict[str, Any]) -> None:
        payload = {"jobId": job_id, "action": action, **fields}
        self._hub.publish("cron", {n: v for n, v in payload.items() if v is not None})
