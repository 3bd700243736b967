"""Heartbeats: when they are left out, what they ask, what came of them.

Theory of operation: each agent whose heart beats has a job like any other (see jobs.py), so a beat
happens once, whatever crashes and however many replicas there are. What is left out leaves no
message; what is quiet leaves none either. Events that wait are told with the next beat, in the
transaction that makes its turn.

Source: OpenClaw, "Heartbeat"; gateway protocol, "last-heartbeat", event `heartbeat`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from portico.agents.service import Agents
from portico.automation.cron.asking import Beat, Event
from portico.automation.cron.model import HEARTBEAT_PREFIX, Job
from portico.automation.cron.scheduler import NotNow
from portico.automation.cron.store import Run
from portico.automation.heartbeat import store as beat_store
from portico.automation.heartbeat.model import Heartbeat, HeartbeatSettings, Status
from portico.clock import Clock
from portico.events.hub import Hub
from portico.store import Store, Work
from portico.turns.service import Turns

NOTES = "HEARTBEAT.md"
MAX_NOTES_CHARS = 20_000
PREVIEW_CHARS = 200
ENABLED, LAST = "heartbeats-enabled", "last-heartbeat"


class Heartbeats:
    """The hearts of all agents."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        turns: Turns,
        agents: Agents,
        settings: Mapping[str, HeartbeatSettings],
    ) -> None:
        self._store = store
        self._clock = clock
        self._hub = hub
        self._turns = turns
        self._agents = agents
        self.settings = settings

    # -- what jobs need --------------------------------------------------------------------------

    def is_on(self, agent_id: str, session_key: str) -> bool:
        """Whether an agent's heart beats in a session."""
        settings = self.settings.get(agent_id)
        return settings is not None and settings.session_key == session_key

    def keep_event(self, session_key: str, event: Event, *, now: int) -> Work[bool]:
        """Let an event wait for the session's next heartbeat; `False`: it does already."""
        return beat_store.keep(session_key, event, now=now)

    def take_events(self, session_key: str) -> Work[list[Event]]:
        """Return what waits for a session; it waits no more."""
        return beat_store.take(session_key)

    # -- what the scheduler needs ----------------------------------------------------------------

    async def ready(self, job: Job) -> Beat | NotNow:
        """Return what a due heartbeat asks, or why it is left out."""
        settings = self._settings_of(job)
        if settings is None or not await self.is_enabled():
            return await self._left_out(job, NotNow("disabled"))
        hours = settings.active_hours
        if hours is not None and not hours.hold(self._clock.now_ms()):
            return await self._left_out(job, NotNow("quiet-hours"))
        if await self._turns.open_in_lane(settings.session_key):
            return await self._left_out(job, NotNow("requests-in-flight", is_soon=True))
        notes = await asyncio.to_thread(self._notes, job)
        if notes is not None and _is_empty(notes) and not await self._waiting(settings):
            return await self._left_out(job, NotNow("empty-heartbeat-file"))
        return _beat(settings, notes)

    async def ask(self, job: Job) -> Beat | None:
        """Return what a heartbeat asks, whatever the time; `None`: the agent has none."""
        settings = self._settings_of(job)
        if settings is None:
            return None
        return _beat(settings, await asyncio.to_thread(self._notes, job))

    async def ended(self, run: Run) -> None:
        """Remember and tell what a heartbeat came to."""
        route = run.route
        await self._tell(
            Heartbeat(
                ts=self._clock.now_ms(),
                status=_status(run),
                agent_id=run.agent_id,
                preview=(run.summary or "")[:PREVIEW_CHARS] or None,
                duration_ms=max(0, (run.ended_at or run.started_at) - run.started_at),
                reason=run.error,
                channel=None if route is None else route.channel,
                to=None if route is None else route.peer.id,
                account_id=None if route is None else route.account,
                silent=True if run.suppressed else None,
                indicator_type="error"
                if run.status == "error"
                else ("ok" if run.suppressed else "alert"),
            )
        )

    # -- what operators see and switch -----------------------------------------------------------

    async def is_enabled(self) -> bool:
        """Whether hearts beat at all."""
        return await self._store.read(beat_store.fact, ENABLED) is not False

    async def switch(self, *, on: bool) -> None:
        """Let all hearts beat, or rest, until somebody says otherwise."""
        now = self._clock.now_ms()
        await self._store.write(beat_store.set_fact, ENABLED, on, now=now)

    async def last(self) -> Heartbeat | None:
        """Return what the last heartbeat came to, left out ones included."""
        found = await self._store.read(beat_store.fact, LAST)
        return None if found is None else msgspec.convert(found, Heartbeat)

    def shown(self, agent_id: str) -> dict[str, Any]:
        """Return how an agent looks around, as `health` shows it."""
        settings = self.settings.get(agent_id)
        shown: dict[str, Any] = {
            "enabled": settings is not None,
            "every": "disabled" if settings is None else settings.every,
            "everyMs": None if settings is None else settings.every_ms,
            "prompt": "" if settings is None else settings.prompt,
            "target": "none" if settings is None else settings.target,
            "ackMaxChars": 0 if settings is None else settings.ack_max_chars,
        }
        if settings is not None:
            shown["session"] = settings.session_key
            if settings.model is not None:
                shown["model"] = settings.model
        return shown

    def _settings_of(self, job: Job) -> HeartbeatSettings | None:
        return self.settings.get(job.job_id.removeprefix(HEARTBEAT_PREFIX))

    def _notes(self, job: Job) -> str | None:
        """Return the agent's HEARTBEAT.md; `None`: there is none."""
        agent = self._agents.find(job.job_id.removeprefix(HEARTBEAT_PREFIX))
        if agent is None or agent.workspace is None:
            return None
        try:
            with (Path(agent.workspace).expanduser() / NOTES).open(errors="replace") as file:
                return file.read(MAX_NOTES_CHARS)
        except OSError:
            return None

    async def _waiting(self, settings: HeartbeatSettings) -> int:
        return await self._store.read(beat_store.count_waiting, settings.session_key)

    async def _left_out(self, job: Job, why: NotNow) -> NotNow:
        agent_id = job.job_id.removeprefix(HEARTBEAT_PREFIX)
        now = self._clock.now_ms()
        await self._tell(Heartbeat(ts=now, status="skipped", agent_id=agent_id, reason=why.reason))
        return why

    async def _tell(self, beat: Heartbeat) -> None:
        shown = beat.to_json()
        await self._store.write(beat_store.set_fact, LAST, shown, now=beat.ts)
        self._hub.publish("heartbeat", shown)


def _beat(settings: HeartbeatSettings, notes: str | None) -> Beat:
    return Beat(
        prompt=settings.prompt,
        notes=notes if notes is not None and not _is_empty(notes) else None,
        model=settings.model,
        timeout_s=settings.timeout_s,
        ack_max_chars=settings.ack_max_chars,
    )


def _is_empty(notes: str) -> bool:
    """Whether there are only headings and empty lines."""
    return all(not line.strip() or line.lstrip().startswith("#") for line in notes.splitlines())


def _status(run: Run) -> Status:
    if run.status == "error":
        return "failed"
    if run.suppressed == "heartbeat":
        return "ok-token"
    return "ok-empty" if not (run.summary or "").strip() else "sent"
