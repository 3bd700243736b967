"""The gateway message API: what a request asks, put on the message path, and what came of it.

Guarantees:
    - The order of checks is: shape, user, allowlist, mention, session, model, and only then are
      URLs fetched: a stranger cannot make the gateway fetch anything.
    - `request_id` is the run's id from the moment it is accepted, queued or running; the same
      `request_id` or `message_id` never runs twice, and with other content it is refused.
    - The reply to a message goes back over this API only: whatever `channel` says, it is a name.

Not here: HTTP (`http.py`), the stream's format (`stream.py`).

Source: gateway message API.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from portico.agents.runtime import TurnRequest
from portico.agents.service import Agents
from portico.channels.model import InboundMessage, Peer
from portico.clock import Clock
from portico.ids import new_id
from portico.inbox.model import Routing
from portico.inbox.policy import DoorPolicy, Verdict
from portico.protocol import keys
from portico.protocol.errors import (
    IdempotencyMismatch,
    InvalidRequest,
    Unavailable,
)
from portico.turns.life import TurnState
from portico.turns.model import TurnRow
from portico.web.connection import HEARTBEAT
from portico.web.messages.answer import SESSION_ID, failure_of, reply_of, session_id_of, usage_of
from portico.web.messages.model import (
    CancelRequest,
    CancelResponse,
    MessageRequest,
    StatusResponse,
    StreamEvent,
)
from portico.web.messages.parts import (
    Download,
    Part,
    downloaded,
    needs_download,
    plain_parts,
    text_of,
)
from portico.web.messages.stream import EventId, RunEvents, encode_event
from portico.web.problem import InvalidModel, NotFound
from portico.web.runs import InboxPort, TurnsPort, steps_of

CHANNEL = "http"
DIGEST = "digest"
MAX_ID_LENGTH = 256
CANCEL_REASON = "canceled by the caller"


@dataclass(frozen=True, slots=True)
class MessageSettings:
    """Numbers of the API.

    Attributes:
        queue_timeout_ms: how long a request may wait for its session.
        status_retention_ms: how long the status of an ended request is promised.
        heartbeat_s: the longest silence on a stream.
    """

    queue_timeout_ms: int = 600_000
    status_retention_ms: int = 3_600_000
    heartbeat_s: float = 15.0
    main_key: str = "main"


@dataclass(frozen=True, slots=True)
class Ticket:
    """An accepted message.

    Attributes:
        request_id: the run's id; `None` when the message is not for the assistant.
        duplicate: it had been accepted before.
    """

    session_id: str
    request_id: str | None
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, trimmed and checked, with its URLs not yet fetched."""

    message: InboundMessage
    request: TurnRequest
    session_id: str
    request_id: str | None
    digest: str


class MessageService:
    """The gateway message API."""

    def __init__(
        self,
        *,
        inbox: InboxPort,
        turns: TurnsPort,
        agents: Agents,
        clock: Clock,
        fetcher: Download,
        policy: Callable[[], DoorPolicy],
        accepting: Callable[[], bool],
        models: Callable[[], frozenset[str]] | None,
        settings: MessageSettings,
    ) -> None:
        self._inbox = inbox
        self._turns = turns
        self._agents = agents
        self._clock = clock
        self._fetcher = fetcher
        self._policy = policy
        self._accepting = accepting
        self._models = models
        self._settings = settings

    # -- in --------------------------------------------------------------------------------------

    async def submit(self, request: MessageRequest) -> Ticket:
        """Accept a message; its run is queued or running when this returns.

        Raises:
            InvalidRequest: the request cannot be understood.
            Forbidden: the user is not allowed.
            IdempotencyMismatch: an id was used before, for something else.
            Overloaded: too many requests wait for this session.
            Unavailable: the gateway starts or stops.
        """
        if not self._accepting():
            raise Unavailable("The gateway is not accepting messages now.", retry_after_ms=2000)
        asked = self._read(request)
        decision = self._policy().decide(asked.message, searchable=asked.message.text)
        routing = self._routing(asked)
        if decision.verdict is Verdict.ADMIT:
            self._check_model(asked.request.model)
            if needs_download(asked.message.parts):
                repeated = await self._repeated(asked)
                if repeated is not None:
                    return repeated
                parts = await downloaded(asked.message.parts, self._fetcher)
                asked = _with_parts(asked, parts)
        accepted = await self._inbox.accept(asked.message, asked.request, routing)
        return Ticket(asked.session_id, accepted.run_id, accepted.duplicate)

    def _read(self, request: MessageRequest) -> _Asked:
        channel = _id(request.channel, "channel") or CHANNEL
        sender, thread = _id(request.from_, "from"), _id(request.thread, "thread")
        user = _id(request.user_id, "user_id") or sender
        text = (request.text or "").strip()
        parts = plain_parts(request.content_parts or ())
        if not text and not parts:
            raise InvalidRequest("missing text")
        if not user:
            raise InvalidRequest("missing user_id or from")
        request_id = _id(request.request_id, "request_id") or None
        session_id = _id(request.session_id, "session_id", keys.MAX_KEY_LENGTH) or (
            keys.message_api_id(channel=channel, sender=sender, thread=thread)
        )
        digest = _digest(request)
        context = {SESSION_ID: session_id, DIGEST: digest}
        if request.to:
            context["to"] = _id(request.to, "to")
        whole_text, kept = _text_and_parts(text, parts)
        message = InboundMessage(
            channel=CHANNEL,
            account="default" if channel == CHANNEL else channel,
            event_key=_event_key(request, session_id, request_id),
            peer=Peer("direct", sender or user),
            sender=user,
            text=whole_text,
            thread_id=thread or None,
            parts=kept,
            reply_context=context,
        )
        return _Asked(message, _turn_request(request), session_id, request_id, digest)

    def _routing(self, asked: _Asked) -> Routing:
        """Return the session and the agent: as the caller chose, else as the bindings say."""
        chosen = asked.session_id.lower().startswith("agent:")
        agent_id = self._agents.default_id if chosen else self._agents.route(asked.message)
        key = self._key(asked.session_id, agent_id)
        return Routing(
            session_key=key,
            agent_id=self._agents.get(keys.agent_of(key, default_agent=agent_id)).agent_id,
            run_id=asked.request_id,
            queue_mode="followup",
            drop="new",
            expires_at=self._clock.now_ms() + self._settings.queue_timeout_ms,
            created_via="http",
            asked=None if chosen else asked.session_id,
        )

    def _key(self, session_id: str, agent_id: str) -> str:
        """Return the canonical key of a session id; short ones are the agent's."""
        key = session_id
        if session_id == "main":
            key = f"agent:{agent_id}:{self._settings.main_key}"
        elif not session_id.lower().startswith("agent:"):
            key = f"agent:{agent_id}:{keys.keep_case(session_id)}"
        return keys.canonical(key, default_agent=agent_id)

    def _keys(self, session_id: str) -> list[str]:
        """Return every key a session id may have by the bindings."""
        bound = (b.agent_id for b in self._agents.roster.bindings if b.channel == CHANNEL)
        agents = dict.fromkeys((self._agents.default_id, *bound))
        return [*dict.fromkeys(self._key(session_id, agent_id) for agent_id in agents)]

    def _check_model(self, model: str | None) -> None:
        if model and self._models is not None and model not in self._models():
            raise InvalidModel(f'model "{model}" is not available')

    async def _repeated(self, asked: _Asked) -> Ticket | None:
        """Recognise a repeat by what was asked, before its URLs are fetched again."""
        if asked.request_id is None:
            return None
        route = await self._inbox.route_of(asked.request_id)
        if route is None:
            return None
        if route.context.get(DIGEST) != asked.digest:
            raise IdempotencyMismatch(CHANNEL)
        return Ticket(asked.session_id, asked.request_id, duplicate=True)

    # -- out -------------------------------------------------------------------------------------

    async def wait(self, request_id: str) -> TurnRow:
        """Return the request's turn once it has ended.

        Raises:
            NotFound: nobody knows it.
        """
        row = await self._turns.wait(request_id, None)
        if row is None:
            raise NotFound("unknown request_id")
        return row

    async def status(self, request_id: str) -> StatusResponse:
        """Say where a request is.

        Raises:
            NotFound: nobody knows it (any more).
        """
        row = await self._turns.find(_required(request_id))
        if row is None:
            raise NotFound("unknown request_id")
        failure = failure_of(row)
        succeeded = row.state is TurnState.SUCCEEDED
        kept_until = None
        if row.ended_at is not None:
            kept_until = row.ended_at + self._settings.status_retention_ms
        return StatusResponse(
            request_id=row.run_id,
            session_id=session_id_of(row),
            state=row.state.value,
            position=await self._position(row),
            queued_at=row.queued_at,
            started_at=row.started_at,
            ended_at=row.ended_at,
            kept_until=kept_until,
            reply=reply_of(row) if succeeded else None,
            usage=None if row.is_open else usage_of(row.result),
            error=failure.error if failure else None,
        )

    async def cancel(self, request: CancelRequest) -> CancelResponse:
        """Cancel a request or a session, waiting or running."""
        if not (request.request_id or "").strip() and (request.session_id or "").strip():
            session_id = _id(request.session_id, "session_id", keys.MAX_KEY_LENGTH)
            cancelled = [
                run_id
                for key in self._keys(session_id)
                for run_id in await self._turns.cancel_session(key, CANCEL_REASON)
            ]
            return CancelResponse(canceled=bool(cancelled), request_ids=tuple(cancelled))
        request_id = _required(request.request_id)
        canceled = await self._turns.cancel(request_id, CANCEL_REASON)
        row = await self._turns.find(request_id)
        return CancelResponse(canceled=canceled, state=row.state.value if row else None)

    async def abandoned(self, request_id: str) -> None:
        """Cancel a run because the connection that asked for it is gone."""
        await self._turns.cancel(request_id, "client disconnected")

    async def _position(self, row: TurnRow) -> int | None:
        if row.state is not TurnState.QUEUED:
            return None
        lane = await self._turns.open_in_lane(row.session_key)
        return sum(1 for other in lane if other.position < row.position)

    # -- streams ---------------------------------------------------------------------------------

    async def resume(self, request_id: str) -> Ticket:
        """Return the ticket of a request that was accepted earlier.

        Raises:
            NotFound: nobody knows it.
        """
        row = await self._turns.find(_required(request_id))
        if row is None:
            raise NotFound("unknown request_id")
        return Ticket(session_id_of(row), row.run_id, duplicate=True)

    async def stream(
        self, ticket: Ticket, *, after: EventId, progress_after_text: bool
    ) -> AsyncGenerator[bytes, None]:
        """Yield the events of a request after the one the client saw last, until its end."""
        if ticket.request_id is None:
            yield encode_event((0, 1), StreamEvent(type="run.ignored", ignored=True))
            yield encode_event((0, 2), StreamEvent(type="run.completed"))
            return
        events = RunEvents(
            session_id=ticket.session_id,
            request_id=ticket.request_id,
            clock=self._clock,
            progress_after_text=progress_after_text,
        )
        row = await self._turns.find(ticket.request_id)
        if row is not None and after == (0, 0):
            position = await self._position(row)
            if position is not None:
                yield encode_event((0, 1), events.queued(position))
        following = steps_of(
            ticket.request_id, self._turns, seen=after[0], heartbeat_s=self._settings.heartbeat_s
        )
        async with aclosing(following) as steps:
            async for number, step in steps:
                if step is None:
                    yield HEARTBEAT
                    continue
                for index, event in enumerate(events.translate(step), start=1):
                    if (number, index) > after:
                        yield encode_event((number, index), event)


def _id(value: str | None, name: str, most: int = MAX_ID_LENGTH) -> str:
    text = (value or "").strip()
    if len(text) > most:
        raise InvalidRequest(f"{name} has more than {most} characters")
    if not text.isprintable():
        raise InvalidRequest(f"{name} has characters that cannot be printed")
    return text


def _required(request_id: str | None) -> str:
    text = _id(request_id, "request_id")
    if not text:
        raise InvalidRequest("missing request_id")
    return text


def _event_key(request: MessageRequest, session_id: str, request_id: str | None) -> str:
    """Return what makes a repeat a repeat; a sender's message ids count within their session."""
    message_id = _id(request.message_id, "message_id")
    if message_id:
        return f"message:{session_id}:{message_id}"
    return f"request:{request_id or new_id('req')}"


def _text_and_parts(text: str, parts: tuple[Part, ...]) -> tuple[str, tuple[Part, ...]]:
    """Return the whole text, and all parts in order when there is more than text."""
    whole = "\n".join(line for line in (text, text_of(parts)) if line)
    if all(part["type"] == "text" for part in parts):
        return whole, ()
    return whole, (({"type": "text", "text": text}, *parts) if text else parts)


def _turn_request(request: MessageRequest) -> TurnRequest:
    return TurnRequest(
        text="",
        system_prompt=(request.request_system_prompt or "").strip() or None,
        late_context=(request.request_late_context_prompt or "").strip() or None,
        model=_id(request.model, "model") or None,
        extensions=request.extensions or {},
    )


def _with_parts(asked: _Asked, parts: tuple[Part, ...]) -> _Asked:
    message = msgspec.structs.replace(asked.message, parts=parts)
    return _Asked(message, asked.request, asked.session_id, asked.request_id, asked.digest)


def _digest(request: MessageRequest) -> str:
    asked = msgspec.structs.replace(request, stream_options=None, cancel_on_disconnect=None)
    return hashlib.blake2b(msgspec.json.encode(asked), digest_size=16).hexdigest()
