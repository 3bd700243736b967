"""Telling an agent something without anybody having written.

Guarantees: what is told is on disk when `wake` returns, and is told once: with the next heartbeat,
or at once, as a job that runs now and is gone.

Source: OpenClaw gateway protocol, "wake".
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Literal

from portico.automation.cron.definition import CronAdd
from portico.automation.cron.model import HEARTBEAT_PREFIX, At, SystemEvent
from portico.automation.cron.service import CronService
from portico.automation.heartbeat import store as beat_store
from portico.automation.heartbeat.service import Heartbeats
from portico.clock import Clock
from portico.protocol import keys
from portico.protocol.errors import Overloaded
from portico.sessions.service import Sessions
from portico.store import Store

WakeMode = Literal["now", "next-heartbeat"]
_EPOCH = datetime.fromtimestamp(0, UTC)


class Waker:
    """Wakes agents."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        sessions: Sessions,
        heartbeats: Heartbeats,
        cron: CronService,
    ) -> None:
        self._store = store
        self._clock = clock
        self._sessions = sessions
        self._heartbeats = heartbeats
        self._cron = cron

    async def wake(self, session_key: str, text: str, mode: WakeMode) -> bool:
        """Tell the agent of a session something; `False`: nobody is woken in such a session.

        An agent whose heart beats there is told with its next beat, or with one that comes now;
        else it is told now in any case: it would not be told at all.

        Raises:
            InvalidRequest: there is no such agent.
        """
        if keys.parse(session_key).rest.startswith(("cron:", "subagent:", "acp:")):
            return False
        agent_id = self._sessions.agent_of(session_key)
        is_on = self._heartbeats.is_on(agent_id, session_key)
        if not (is_on and await self._heartbeats.is_enabled()):
            await self._tell_now(session_key, agent_id, text)
            return True
        now = self._clock.now_ms()
        await self._store.write(beat_store.keep, session_key, text, now=now)
        if mode == "now":
            await self._beat_now(agent_id)
        return True

    async def _beat_now(self, agent_id: str) -> None:
        with contextlib.suppress(Overloaded):  # its conversation is full: the next beat tells it
            await self._cron.run(f"{HEARTBEAT_PREFIX}{agent_id}", "force")

    async def _tell_now(self, session_key: str, agent_id: str, text: str) -> None:
        at = _EPOCH + timedelta(milliseconds=self._clock.now_ms())
        added = await self._cron.add(
            CronAdd(
                name="System event",
                schedule=At(at.isoformat()),
                payload=SystemEvent(text=text),
                session_target="main",
                agent_id=agent_id,
                session_key=session_key,
                delete_after_run=True,
            )
        )
        with contextlib.suppress(Overloaded):  # its conversation is full: the scheduler tries again
            await self._cron.run(added.job.job_id, "due")
