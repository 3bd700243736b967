"""Telling an agent something without anybody having written.

Guarantees: what is told is on disk when `wake` returns, and is told once: with a heartbeat, or as a
message of its own.

Source: OpenClaw gateway protocol, "wake".
"""

from __future__ import annotations

import contextlib
from typing import Literal

from portico.agents.runtime import Quiet, TurnRequest
from portico.automation.cron.asking import Event
from portico.automation.cron.model import HEARTBEAT_PREFIX
from portico.automation.cron.routing import last_route
from portico.automation.cron.service import CronService, JobNotFound
from portico.automation.heartbeat.service import Heartbeats
from portico.channels.model import InboundMessage, Peer
from portico.channels.registry import DEFAULT_ACCOUNT, ChannelRegistry
from portico.clock import Clock
from portico.ids import new_id
from portico.inbox.model import Routing
from portico.inbox.service import Inbox
from portico.protocol import keys
from portico.protocol.errors import Overloaded
from portico.sessions.service import Sessions
from portico.store import Store

WakeMode = Literal["now", "next-heartbeat"]
Woken = Literal["told", "queued", "coalesced", "unwakeable"]
CHANNEL = "cron"
_CLOSED = ("cron:", "subagent:", "acp:", "hook:")


class Waker:
    """Wakes agents."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        inbox: Inbox,
        senders: ChannelRegistry,
        sessions: Sessions,
        heartbeats: Heartbeats,
        cron: CronService,
    ) -> None:
        self._store = store
        self._clock = clock
        self._inbox = inbox
        self._senders = senders
        self._sessions = sessions
        self._heartbeats = heartbeats
        self._cron = cron

    async def wake(
        self, session_key: str, text: str, mode: WakeMode, *, is_untrusted: bool = False
    ) -> Woken:
        """Tell the agent of a session something; `unwakeable`: nobody is woken in such a session.

        An agent whose heart beats there is told with its next beat, or with one that comes now;
        else it is told now in any case: it would not be told at all.

        Args:
            is_untrusted: nobody vouches for who wrote it.

        Raises:
            InvalidRequest: there is no such agent.
            Overloaded: the conversation is full; nothing was stored.
        """
        if keys.parse(session_key).rest.startswith(_CLOSED):
            return "unwakeable"
        agent_id = self._sessions.agent_of(session_key)
        event = Event(text, is_untrusted)
        is_on = (
            self._heartbeats.is_on(agent_id, session_key) and await self._heartbeats.is_enabled()
        )
        if not is_on or (mode == "now" and await self._is_beating(agent_id)):
            await self._tell(session_key, agent_id, event)
            return "told"
        now = self._clock.now_ms()
        is_new = await self._store.write(self._heartbeats.keep_event, session_key, event, now=now)
        if mode == "now":
            await self._beat(agent_id)
        return "queued" if is_new else "coalesced"

    async def _is_beating(self, agent_id: str) -> bool:
        try:
            _, running = await self._cron.get(f"{HEARTBEAT_PREFIX}{agent_id}")
        except JobNotFound:
            return False
        return running is not None

    async def _beat(self, agent_id: str) -> None:
        # Its conversation is full, or the job is not there yet: the next beat tells it.
        with contextlib.suppress(Overloaded, JobNotFound):
            await self._cron.run(f"{HEARTBEAT_PREFIX}{agent_id}", "force")

    async def _tell(self, session_key: str, agent_id: str, event: Event) -> None:
        message = InboundMessage(
            channel=CHANNEL,
            account=DEFAULT_ACCOUNT,
            event_key=new_id("evt"),
            peer=Peer("direct", session_key),
            sender="system-event",
            text=f"[system event] {event.text}",
            session_key=session_key,
            agent_id=agent_id,
            is_untrusted=event.is_untrusted,
            answer_to=await self._store.read(last_route, session_key, self._senders),
        )
        request = TurnRequest(
            text="",
            system_prompt="This is an event, not written by a person. "
            f"If nothing needs to be said, answer {SILENT.token} and nothing else.",
            quiet=SILENT,
        )
        going = Routing(
            session_key=session_key,
            agent_id=agent_id,
            queue_mode="followup",
            drop="new",
            created_via="cron",
            keeps_route=True,
        )
        await self._inbox.take(message, request, going)


SILENT = Quiet(token="NO_REPLY", max_chars=0)
"""A turn nobody asked for may end without an answer."""
