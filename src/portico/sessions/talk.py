"""What the session methods need of the message path, which lives above this room.

`chat` and `turns` implement these; `wiring` hands them in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from portico.protocol.validation import OpenParams, Result
from portico.rpc.call import Call
from portico.sessions.model import Session, Spent
from portico.store import Work

QueueMode = Literal["steer", "followup", "collect", "interrupt"]


class ChatAttachment(OpenParams, frozen=True):
    """A file as clients attach it: `content` is base64 or a data URL."""

    content: Any = None
    type: str | None = None
    mime_type: str | None = None
    file_name: str | None = None
    size_bytes: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Something an operator says in a session.

    Attributes:
        run_id: names the run; the same id again is a repeat, not another message.
        commands: whether `/stop`, `/new` and `/reset` are obeyed or are just text.
        timeout_s: how long the run may take; `None`: the agent's own limit.
        door: which method it came by; repeats are compared within one door.
    """

    key: str
    text: str
    run_id: str
    door: str = "chat.send"
    attachments: tuple[ChatAttachment, ...] = ()
    thinking: str | None = None
    model: str | None = None
    system_prompt: str | None = None
    timeout_s: float | None = None
    queue_mode: QueueMode | None = None
    commands: bool = True
    created_via: str = "operator"


class SendAck(Result, frozen=True, kw_only=True):
    """A message was accepted, is being answered already, or has been."""

    run_id: str
    status: Literal["started", "in_flight", "ok"]
    message_seq: int | None = None
    interrupted_active_run: bool | None = None


class AbortAck(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What was cancelled."""

    ok: bool = True
    aborted: bool
    run_ids: tuple[str, ...]


class Talk(Protocol):
    """Says something in a session."""

    async def send(self, call: Call, said: Said) -> SendAck | AbortAck:
        """Accept a message and start its run, or wait for it to start."""
        ...


class HasSession(Protocol):
    """A run, as far as sessions look at it."""

    @property
    def session_key(self) -> str:
        """The session it belongs to."""
        ...


class Ledger(Protocol):
    """What is spent for sessions outside their runs."""

    def record(self, session: Session, spent: Spent) -> Work[None]:
        """The work that keeps it."""
        ...


class Lanes(Ledger, Protocol):
    """Runs, as far as sessions stop them."""

    async def find(self, run_id: str) -> HasSession | None:
        """Return a run in whatever state, or `None`."""
        ...

    async def cancel(self, run_id: str, reason: str) -> bool:
        """Cancel a run; `False` when it is not open."""
        ...

    async def cancel_session(
        self, session_key: str, reason: str, *, queued: bool = True
    ) -> list[str]:
        """Cancel what runs (and waits) in a session; return run ids in order."""
        ...


__all__ = [
    "AbortAck",
    "ChatAttachment",
    "HasSession",
    "Lanes",
    "Ledger",
    "QueueMode",
    "Said",
    "SendAck",
    "Talk",
]
