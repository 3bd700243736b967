"""`chat.history`: a page of a transcript, or what was added since a cursor.

Theory of operation: entries of one session id are numbered without gaps, so a page is arithmetic
on `last_seq` and `message_count`. A cursor names the session id, its first and its last entry; when
the session was reset or trimmed since, or too much was added, the answer is `reset` and the client
reads the page again.

Source: OpenClaw gateway protocol, "chat.history".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from portico.protocol.errors import InvalidRequest
from portico.sessions.model import Entry, Session
from portico.sessions.service import Sessions
from portico.sessions.shapes import message, omitted
from portico.turns.life import TurnState
from portico.turns.model import TurnRow
from portico.turns.store import user_content

DEFAULT_LIMIT = 200
MAX_DELTA_EVENTS = 200
MAX_DELTA_BYTES = 1_000_000
MAX_PENDING = 20


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a client is in a transcript."""

    session_id: str
    first_seq: int
    last_seq: int

    def encode(self) -> str:
        """Return the cursor as clients keep it."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor | None:
        """Read a cursor; `None` when it is not one of ours."""
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            return msgspec.json.decode(raw, type=cls)
        except (binascii.Error, ValueError, msgspec.DecodeError):
            return None


@dataclass(frozen=True, slots=True)
class PageOf:
    """Which part of a transcript is wanted."""

    limit: int
    max_bytes: int
    max_chars: int | None
    offset: int = 0
    message_id: str | None = None
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A part of a transcript, oldest first."""

    messages: tuple[dict[str, Any], ...]
    offset: int
    total: int
    has_more: bool
    last: Entry | None


def cursor_of(session: Session) -> Cursor:
    """Return the cursor at the end of a session's transcript."""
    first = session.last_seq - session.message_count + 1
    return Cursor(session.session_id, first, session.last_seq)


async def page(sessions: Sessions, session: Session, wanted: PageOf) -> HistoryPage:
    """Read a page, counted from the newest message.

    Raises:
        InvalidRequest: the message asked for is not in this transcript.
    """
    offset = wanted.offset
    if wanted.message_id is not None:
        found = await sessions.find_entry(wanted.message_id)
        if found is None or found.session_id != session.session_id:
            raise InvalidRequest(
                f"message not found: {wanted.message_id}", details={"code": "MESSAGE_NOT_FOUND"}
            )
        offset = max(0, session.last_seq - found.seq - wanted.limit // 2)
    entries = await sessions.history(
        session.session_id, limit=wanted.limit, before=session.last_seq - offset + 1
    )
    shown = fit(entries, wanted.max_bytes, wanted.max_chars)
    kept = entries[len(entries) - len(shown) :]
    first = session.last_seq - session.message_count + 1
    return HistoryPage(
        messages=tuple(shown),
        offset=offset,
        total=session.message_count,
        has_more=bool(kept) and kept[0].seq > first,
        last=kept[-1] if kept else None,
    )


async def delta(
    sessions: Sessions, session: Session | None, wanted: PageOf
) -> tuple[dict[str, Any], ...] | None:
    """Return what was added since a cursor; `None`: read the page again."""
    cursor = Cursor.decode(wanted.cursor or "")
    if cursor is None or session is None:
        return None
    here = cursor_of(session)
    same = (cursor.session_id, cursor.first_seq) == (here.session_id, here.first_seq)
    added = here.last_seq - cursor.last_seq
    if not same or not 0 <= added <= MAX_DELTA_EVENTS:
        return None
    if added == 0:
        return ()
    entries = await sessions.since(session.session_id, after=cursor.last_seq, limit=added)
    shown = [message(entry, max_chars=wanted.max_chars) for entry in entries]
    limit = min(MAX_DELTA_BYTES, wanted.max_bytes)
    if sum(len(msgspec.json.encode(one)) for one in shown) > limit:
        return None
    return tuple(shown)


def fit(entries: Sequence[Entry], max_bytes: int, max_chars: int | None) -> list[dict[str, Any]]:
    """Return the newest entries that fit, as messages; one that never fits is named instead."""
    shown: list[dict[str, Any]] = []
    left = max_bytes
    for entry in reversed(entries):
        one = message(entry, max_chars=max_chars)
        size = len(msgspec.json.encode(one)) + 1
        if size > max_bytes:
            one = omitted(entry)
            size = len(msgspec.json.encode(one)) + 1
        if size > left and shown:
            break
        left -= size
        shown.append(one)
    return shown[::-1]


def pending_inputs(lane: Sequence[TurnRow], before: int | None) -> dict[str, Any]:
    """Return what waits in a lane, the newest twenty before a position."""
    queued = [row for row in lane if row.state is TurnState.QUEUED]
    window = [row for row in queued if before is None or row.position < before]
    shown = window[-MAX_PENDING:]
    found: dict[str, Any] = {"items": [_pending(row) for row in shown], "total": len(queued)}
    if len(window) > len(shown):
        found["nextBefore"] = shown[0].position
    return found


def _pending(row: TurnRow) -> dict[str, Any]:
    return {
        "id": row.request.message_id or row.run_id,
        "runId": row.run_id,
        "message": {
            "role": "user",
            "content": user_content(row.request),
            "timestamp": row.request.received_at_ms or row.queued_at,
        },
        "acceptedAt": row.queued_at,
        "state": "queued",
    }
