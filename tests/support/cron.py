"""Scheduled jobs on the message path, with a clock and a runtime that a test holds in its hands."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self, cast

import msgspec

from portico.agents.service import Agent, Agents
from portico.automation.assembly import Automation, AutomationSettings
from portico.automation.cron.assembly import CronSettings
from portico.automation.cron.definition import CronAdd, CronJobPatch
from portico.automation.cron.history import RunFilter
from portico.automation.cron.model import Job
from portico.automation.cron.store import Run
from portico.automation.heartbeat.model import HeartbeatSettings
from portico.channels.contract import Channel
from portico.channels.registry import ChannelRegistry
from portico.channels.webchat import WebchatChannel
from portico.rpc.idempotency import StoredIdempotency
from portico.sessions.changes import SessionChanges
from portico.sessions.service import Sessions
from portico.store import Store
from tests.support.clock import FakeClock
from tests.support.path import Path, Senders
from tests.support.waiting import loop_turns

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


def ms(text: str) -> int:
    """A time with its offset, in milliseconds."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


class CronPath:
    """One owner: scheduled jobs and the path they run on."""

    def __init__(
        self,
        store: Store,
        *,
        owner: str = "me",
        alone: bool = True,
        clock: FakeClock | None = None,
        settings: CronSettings | None = None,
        channels: dict[str, Channel] | None = None,
        heartbeats: dict[str, HeartbeatSettings] | None = None,
        **how: Any,
    ) -> None:
        registry = ChannelRegistry()
        self.path = path = Path(
            store,
            owner=owner,
            alone=alone,
            clock=clock,
            senders=cast("Senders", registry),
            **how,
        )
        self.clock, self.puppet, self.store = path.clock, path.puppet, store
        self.agents = Agents([Agent("main", path.puppet), Agent("fox", path.puppet)], "main")
        changes = SessionChanges(
            store=store, hub=path.hub, clock=path.clock, agents=self.agents, tasks=path.tasks
        )
        self.sessions = Sessions(
            store=store, clock=path.clock, changes=changes, agents=self.agents, store_path="/db"
        )
        chat = WebchatChannel(
            store=store,
            clock=path.clock,
            hub=path.hub,
            changes=changes,
            default_agent=lambda: "main",
        )
        registry.register("webchat", "default", chat)
        for name, channel in (channels or {}).items():
            registry.register(name, "default", channel)
        self.automation = Automation(
            store=store,
            clock=path.clock,
            hub=path.hub,
            tasks=path.tasks,
            agents=self.agents,
            senders=registry,
            sessions=self.sessions,
            inbox=path.inbox,
            turns=path.turns,
            outbox=path.outbox,
            once=StoredIdempotency(store, path.clock),
            boot_id=owner,
            alone=alone,
            settings=AutomationSettings(settings or CronSettings(), heartbeats or {}),
        )
        cron = self.automation.cron
        self.service, self.scheduler, self.methods = cron.service, cron.scheduler, cron.methods
        self.retention = cron.retention

    async def start(self) -> Self:
        """Everything but the scheduler's own loop: the test says when it looks."""
        await self.path.start()
        await self.automation._reconcile()
        await self.scheduler._adopt()
        return self

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.path.crash()

    async def crash(self) -> None:
        await self.path.crash()

    # -- jobs ------------------------------------------------------------------------------------

    async def add(self, schedule: dict[str, Any], **fields: Any) -> Job:
        asked = {
            "name": "job",
            "payload": {"kind": "agentTurn", "message": "go"},
            "delivery": {"mode": "none"},
            "schedule": schedule,
            **fields,
        }
        return (await self.service.add(msgspec.convert(asked, CronAdd))).job

    async def update(self, job_id: str, **patch: Any) -> Job:
        return await self.service.update(job_id, msgspec.convert(patch, CronJobPatch))

    async def job(self, job_id: str) -> Job:
        return (await self.service.get(job_id))[0]

    # -- time ------------------------------------------------------------------------------------

    async def at(self, now_ms: int) -> None:
        """Let it be a time, and let the scheduler look."""
        self.clock.set(now_ms)
        await self.look()

    async def later(self, by_ms: int) -> None:
        self.clock.advance(by_ms / 1000)
        await self.look()

    async def look(self) -> None:
        await self.scheduler._adopt()
        await self.scheduler.look()
        await loop_turns()

    async def finish(self, answer: str = "done") -> None:
        """Let every run that has begun answer, and be counted."""
        for run_id in self.open_runs():
            self.puppet.finish(run_id, answer)
        await self.until_counted()

    async def fail(self) -> None:
        for run_id in self.open_runs():
            self.puppet.tell(run_id, RuntimeError("as told"))
        await self.until_counted()

    def open_runs(self) -> list[str]:
        return [run_id for run_id in self.puppet.order if run_id not in self.puppet.cleaned]

    async def until_counted(self) -> None:
        from tests.support.waiting import eventually

        await eventually(lambda: not self.scheduler.running)

    # -- what came of it -------------------------------------------------------------------------

    def slots(self) -> list[int]:
        """The slots that ran here, in order; of runs by hand there is none."""
        return [int(run.rpartition(":")[2]) for run in self.puppet.order if run.startswith("cron:")]

    async def history(self, **wanted: Any) -> list[Run]:
        """Finished runs, the oldest first."""
        filtered = RunFilter(**wanted)
        return (await self.service.runs(filtered, limit=200, offset=0, sort="asc"))[0]

    def told(self, action: str) -> list[dict[str, Any]]:
        """The `cron` events of a kind, in order."""
        return [
            frame["payload"]
            for frame in self.path.events.frames
            if frame["event"] == "cron" and frame["payload"]["action"] == action
        ]
