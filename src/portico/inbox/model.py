"""What is decided about a message, and what the inbox needs of others.

Not here: deciding and storing (`service.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from portico.agents.runtime import TurnRequest
from portico.channels.admission import Effect, Verdict
from portico.channels.model import DropPolicy, InboundMessage, QueueMode, ReplyRoute
from portico.store import Work


class LanePort(Protocol):
    """The lanes, as far as the inbox needs them. `T` is what `enqueue` hands to `begin`."""

    def enqueue(self, message: Admitted) -> Work[Any]:
        """The work that puts the message's turn into its lane."""
        ...

    def begin(self, enqueued: Any) -> None:
        """Act on what was committed."""
        ...


class Giver(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody who may give commands.

    Attributes:
        subject: who it is: `<channel>:<sender>`, or the subject of a client.
        scopes: what is his to do.
        is_sender: he writes on a channel, so that scopes alone do not say what is meant for him.
        is_alone: nobody else is in the conversation.
    """

    subject: str
    scopes: frozenset[str] = frozenset()
    name: str = ""
    device_id: str | None = None
    is_sender: bool = False
    is_alone: bool = True


class OrderPort(Protocol):
    """The commands, as far as the inbox needs them. What `take` returns is handed to `begin`."""

    def take(self, message: InboundMessage, admitted: Admitted, *, now: int) -> Work[Any | None]:
        """The work that takes a message as a command; `None`: it goes into its lane.

        Raises:
            Overloaded: too many wait; nothing was stored.
        """
        ...

    def as_text(self, message: InboundMessage, admitted: Admitted) -> Admitted:
        """Return a message that is no command as the agent is to read it."""
        ...

    def begin(self, taken: Any) -> None:
        """Act on what was committed."""
        ...


class FilePort(Protocol):
    """The store of what people attach, as far as the inbox needs it."""

    async def keep(
        self, message: InboundMessage, request: TurnRequest, *, must: bool
    ) -> tuple[InboundMessage, TurnRequest]:
        """Keep the bytes of a message, and return it with their names in their place."""
        ...

    def refer(
        self,
        message: InboundMessage,
        request: TurnRequest,
        *,
        message_id: str,
        session_key: str,
        now: int,
    ) -> Work[None]:
        """The work that records what a message refers to."""
        ...


class FilesInRows:
    """Leaves files where they are: in the rows of their messages."""

    async def keep(
        self,
        message: InboundMessage,
        request: TurnRequest,
        *,
        must: bool,
    ) -> tuple[InboundMessage, TurnRequest]:
        """Return them as they are."""
        return message, request

    def refer(self, message: InboundMessage, request: TurnRequest, **_where: Any) -> Work[None]:
        """Nothing."""
        yield from ()


@dataclass(frozen=True, slots=True)
class Routing:
    """Where an admitted message goes.

    Attributes:
        run_id: what the client calls the run, when it chose; else one is made.
        queue_mode, drop, expires_at: how it waits when the lane is busy; `None`: as configured.
        asked: where the message came from, when the agent was found by bindings: a repeat is the
            same message even if they have changed since. `None`: the sender chose the session.
        keeps_route: no person wrote this message, so what the session knows of where its last one
            came from stays.
        giver: who may give commands with this message; `None`: the rules of its channel decide.
    """

    session_key: str
    agent_id: str
    run_id: str | None = None
    queue_mode: QueueMode | None = None
    drop: DropPolicy | None = None
    expires_at: int | None = None
    created_via: str = "operator"
    asked: str | None = None
    keeps_route: bool = False
    giver: Giver | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """A message that will be answered, with everything a lane needs to know."""

    run_id: str
    routing: Routing
    request: TurnRequest
    reply_route: ReplyRoute
    fingerprint: str
    channel: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a message.

    Attributes:
        verdict: admitted, kept as context or refused; only what is admitted has a run.
        duplicate: it was accepted before; `run_id` is the first one's.
        is_retold: it was accepted before with another content, and that one counts.
        reason: why it is not answered, when it is not.
        turn: what the lane port's `enqueue` returned; `None` for duplicates and context.
        order: what the order port's `take` returned, for a command.
    """

    message_id: str
    run_id: str | None
    session_key: str
    verdict: Verdict
    duplicate: bool = False
    is_retold: bool = False
    reason: str | None = None
    turn: Any = None
    order: Any = None
    effect: Effect | None = None
