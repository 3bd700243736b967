"""RPC methods of heartbeats: wake, set-heartbeats, last-heartbeat.

Source: OpenClaw gateway protocol, "Health, status, system": `wake` is open to other members.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from portico.automation.heartbeat.service import Heartbeats
from portico.automation.heartbeat.waking import WakeMode, Waker
from portico.protocol import keys
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, OpenParams, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.sessions.service import Sessions

MAX_TEXT_CHARS = 10_000
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
UNWAKEABLE = "unwakeable-session-key"


class Wake(OpenParams, frozen=True, kw_only=True):
    """`{mode, text, sessionKey?, agentId?}`."""

    mode: WakeMode
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT_CHARS)]
    session_key: NonEmpty | None = None
    agent_id: NonEmpty | None = None


class Woken(Result, frozen=True):
    """The agent is, or will be, told."""

    ok: bool
    reason: str | None = None


class SetHeartbeats(Params, frozen=True):
    """`{enabled}`."""

    enabled: bool


class HeartbeatsSet(Result, frozen=True, omit_defaults=False):
    """Whether hearts beat."""

    ok: bool
    enabled: bool


class HeartbeatMethods:
    """`wake`, `set-heartbeats`, `last-heartbeat`."""

    def __init__(self, *, heartbeats: Heartbeats, waker: Waker, sessions: Sessions) -> None:
        self._heartbeats = heartbeats
        self._waker = waker
        self._sessions = sessions

    @method("wake", scope=Scope.WRITE)
    async def wake(self, call: Call, params: Wake) -> Woken:
        """Tell an agent something, now or at its next heartbeat."""
        if params.session_key is not None:
            key = self._sessions.key(params.session_key, params.agent_id)
        else:
            agent_id = params.agent_id and keys.normalize_agent_id(params.agent_id)
            key = self._sessions.main_session_key(agent_id)
        if await self._waker.wake(key, params.text, params.mode) == "unwakeable":
            return Woken(False, UNWAKEABLE)
        return Woken(True)

    @method("set-heartbeats", scope=Scope.ADMIN)
    async def set(self, call: Call, params: SetHeartbeats) -> HeartbeatsSet:
        """Let the hearts of all agents beat, or rest, until somebody says otherwise."""
        await self._heartbeats.switch(on=params.enabled)
        return HeartbeatsSet(True, params.enabled)

    @method("last-heartbeat", scope=Scope.READ)
    async def last(self, call: Call, params: Empty) -> dict[str, Any] | None:
        """Show what the last heartbeat came to, one that was left out included."""
        beat = await self._heartbeats.last()
        return None if beat is None else beat.to_json()
