"""Tells those who follow the session list, or one session, what changed.

Theory of operation: whoever changes a session announces its key after the commit. If nobody
follows, that costs a lookup. Otherwise a task reads the session once and publishes the row as it
then is; announcements of the same key that arrive before the task runs are one event. An event
therefore never shows an older row than one sent before it.

Guarantees: `sessions.changed` carries the whole row, as `sessions.list` would show it;
`session.message` carries every entry once, in order.

Source: OpenClaw gateway protocol, "sessions.changed" and "session.message".
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from portico.agents.service import Agents
from portico.clock import Clock
from portico.events.hub import Hub
from portico.sessions import listing, shapes, transcript
from portico.sessions.listing import Listed
from portico.sessions.model import Entry
from portico.store import Store, Work
from portico.tasks import Tasks


@dataclass(slots=True)
class _Pending:
    reason: str | None = None
    entries: list[Entry | tuple[str, int]] = field(default_factory=list)


class SessionChanges:
    """Publishes `sessions.changed` and `session.message`."""

    def __init__(
        self,
        *,
        store: Store,
        hub: Hub,
        clock: Clock,
        agents: Agents,
        tasks: Tasks,
        main_key: str = "main",
    ) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._agents = agents
        self._tasks = tasks
        self._main_key = main_key
        self._pending: dict[str, _Pending] = {}
        self._task: asyncio.Task[Any] | None = None

    def __len__(self) -> int:
        return len(self._pending)

    def announce(self, session_key: str, reason: str) -> None:
        """Publish `sessions.changed` for a session."""
        if not self._hub.wanted("sessions.changed", session_key):
            return
        self._note(session_key).reason = reason

    def message(self, session_key: str, entry: Entry) -> None:
        """Publish `session.message` for a new transcript entry."""
        if not self._hub.wanted("session.message", session_key):
            return
        self._note(session_key).entries.append(entry)

    def wrote(self, session_key: str, session_id: str, seq: int) -> None:
        """The same for an entry the caller only knows the place of."""
        if self._hub.wanted("session.message", session_key):
            self._note(session_key).entries.append((session_id, seq))

    def deleted(self, session_key: str, session_id: str, agent_id: str) -> None:
        """Publish that a session is gone."""
        self._pending.pop(session_key, None)
        self._hub.publish(
            "sessions.changed",
            {
                "sessionKey": session_key,
                "sessionId": session_id,
                "agentId": agent_id,
                "reason": "delete",
                "ts": self._clock.now_ms(),
            },
            session_key=session_key,
        )

    async def settled(self) -> None:
        """Return when everything announced so far has been published."""
        while self._task is not None:
            await asyncio.wait([self._task])

    def _note(self, session_key: str) -> _Pending:
        if self._task is None:
            self._task = self._tasks.start(self._publish_all(), name="sessions.changes")
        return self._pending.setdefault(session_key, _Pending())

    async def _publish_all(self) -> None:
        try:
            while self._pending:
                key = next(iter(self._pending))
                await self._publish(key, self._pending.pop(key))
        finally:
            self._task = None

    async def _publish(self, key: str, pending: _Pending) -> None:
        found = await self._store.read(_read, key)
        if found is None:
            return
        now = self._clock.now_ms()
        row = shapes.row(
            found.session,
            self._agents,
            main_key=self._main_key,
            now=now,
            title=found.title or "",
            preview=found.preview,
        )
        agent_id = found.session.agent_id
        for said in sorted(pending.entries, key=_seq):
            entry = said if isinstance(said, Entry) else await self._entry(*said)
            if entry is not None:
                payload = self._said(key, agent_id, entry, row)
                self._hub.publish("session.message", payload, session_key=key)
        if pending.reason is None:
            return
        payload = {
            **shapes.flattened(row),
            "sessionKey": key,
            "agentId": agent_id,
            "reason": pending.reason,
            "ts": now,
            "session": row,
        }
        self._hub.publish("sessions.changed", payload, session_key=key)

    async def _entry(self, session_id: str, seq: int) -> Entry | None:
        found = await self._store.read(transcript.since, session_id, after=seq - 1, limit=1)
        return found[0] if found and found[0].seq == seq else None

    @staticmethod
    def _said(key: str, agent_id: str, entry: Entry, row: shapes.SessionRow) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "sessionKey": key,
            "agentId": agent_id,
            "message": shapes.message(entry),
            "messageId": entry.entry_id,
            "messageSeq": entry.seq,
            "session": row,
        }
        if entry.run_id is not None:
            payload["runId"] = entry.run_id
        return payload


def _seq(said: Entry | tuple[str, int]) -> int:
    return said.seq if isinstance(said, Entry) else said[1]


def _read(key: str) -> Work[Listed | None]:
    session = yield from transcript.find_session(key)
    if session is None:
        return None
    return (yield from listing.listed(session, titles=True, previews=True))
