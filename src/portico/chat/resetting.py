"""Beginning a session anew, on somebody's word: once, however often it is said.

Source: OpenClaw gateway protocol, "chat.send" (`/new`, `/reset`).
"""

from __future__ import annotations

import msgspec

from portico.protocol.errors import Unavailable
from portico.rpc.dispatch import Idempotency, Key
from portico.sessions.mutations import Busy
from portico.sessions.service import Sessions
from portico.turns.service import Turns

RESET_ATTEMPTS = 5
NEW_SESSION_TEXT = "New session started."


class Resets:
    """Stops what runs in a session and gives it a new transcript."""

    def __init__(self, *, sessions: Sessions, turns: Turns, once: Idempotency) -> None:
        self._sessions = sessions
        self._turns = turns
        self._once = once

    async def begin_anew(
        self, key: str, *, reason: str, door: str, subject: str, run_id: str, text: str
    ) -> None:
        """Reset a session, once for each run id of somebody at a door.

        Raises:
            IdempotencyMismatch: the run id was used for another text.
            Unavailable: what runs does not stop.
        """
        asked = msgspec.json.encode([key, text])
        await self._once.run(Key(door, subject, run_id), asked, lambda: self._reset(key, reason))

    async def _reset(self, key: str, reason: str) -> str:
        for _ in range(RESET_ATTEMPTS):
            await self._turns.cancel_session(key, "reset")
            try:
                session = await self._sessions.reset(
                    key, reason="new" if reason == "new" else "reset"
                )
            except Busy:
                continue
            return session.session_id
        raise Unavailable(f"Session {key} is still active; try again.", retryable=True)
