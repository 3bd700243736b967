"""What this API asks, put on the message path, and how its runs are followed.

Guarantees:
    - What was accepted is a run like any other: durable, in its session's lane, one at a time.
    - An `Idempotency-Key` makes a repeat a repeat: it gets the first run, which goes on without its
      caller. Without one, a caller that leaves takes its run along.
    - Addresses of files are fetched only for callers that were let in, and only for this turn.

Not here: HTTP (`http.py`), what a run looks like to the caller (`chat.py`, `responses.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from portico.agents.runtime import TurnRequest
from portico.channels.model import InboundMessage, Peer
from portico.clock import Clock
from portico.ids import new_id
from portico.inbox.model import Routing
from portico.protocol import keys
from portico.protocol.errors import Unavailable
from portico.turns.feed import Step
from portico.turns.model import TurnRow
from portico.web.messages.parts import Download, downloaded, needs_download
from portico.web.openai.conversation import Conversation
from portico.web.openai.problem import NoSuchResponse, Refused
from portico.web.openai.target import Target
from portico.web.problem import NotFound
from portico.web.runs import InboxPort, TurnsPort, steps_of

CHANNEL = "openai"
MODEL_NAME = "model"
GONE = "client disconnected"
MAX_KEY = 256


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Numbers of the API.

    Attributes:
        queue_timeout_ms: how long a request may wait for its session.
        heartbeat_s: the longest silence on a stream.
    """

    queue_timeout_ms: int = 600_000
    heartbeat_s: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request, read.

    Attributes:
        kind: the prefix of its id: chatcmpl or resp.
        user: who the caller says is asking.
        agent_model: another model than the agent's own.
        extensions: tools and sampling, as the runtime gets them.
    """

    kind: str
    target: Target
    conversation: Conversation
    user: str | None = None
    agent_model: str | None = None
    thinking: str | None = None
    extensions: dict[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """An accepted request.

    Attributes:
        run_id: also the id of the completion or response.
        leaves: whether the run ends when its caller goes away.
    """

    run_id: str
    created_s: int
    leaves: bool


class OpenAIRuns:
    """The runs of this API."""

    def __init__(
        self,
        *,
        inbox: InboxPort,
        turns: TurnsPort,
        clock: Clock,
        fetcher: Download,
        accepting: Callable[[], bool],
        settings: RunSettings,
    ) -> None:
        self._inbox = inbox
        self._turns = turns
        self._clock = clock
        self._fetcher = fetcher
        self._accepting = accepting
        self._settings = settings

    async def submit(self, ask: Ask) -> Ticket:
        """Accept a request; its run is queued or running when this returns.

        Raises:
            InvalidRequest: it cannot be understood.
            IdempotencyMismatch: its key was used before, for something else.
            Overloaded: too many requests wait for this session.
            Unavailable: the gateway starts or stops.
        """
        if not self._accepting():
            raise Unavailable("The gateway is not accepting messages now.", retry_after_ms=2000)
        conversation = ask.conversation
        if needs_download(conversation.parts):
            parts = await downloaded(conversation.parts, self._fetcher)
            conversation = conversation.with_parts(parts)
        now_ms = self._clock.now_ms()
        accepted = await self._inbox.accept(
            _message(ask, conversation),
            _request(ask, conversation),
            Routing(
                session_key=_session_key(ask),
                agent_id=ask.target.agent_id,
                run_id=new_id(ask.kind),
                queue_mode="followup",
                drop="new",
                expires_at=now_ms + self._settings.queue_timeout_ms,
                created_via=CHANNEL,
            ),
        )
        leaves = not accepted.duplicate and ask.idempotency_key is None
        return Ticket(accepted.run_id or "", now_ms // 1000, leaves)

    async def wait(self, run_id: str) -> TurnRow:
        """Return a run once it has ended.

        Raises:
            NotFound: nobody knows it (any more).
        """
        row = await self._turns.wait(run_id, None)
        if row is None:
            raise NotFound("the request is not known any more")
        return row

    def steps(self, run_id: str) -> AsyncGenerator[tuple[int, Step | None], None]:
        """Yield a run's numbered steps; `None` after each silent while."""
        return steps_of(run_id, self._turns, seen=0, heartbeat_s=self._settings.heartbeat_s)

    async def previous(self, response_id: str) -> Target:
        """Return who answered a response, and where.

        Raises:
            NoSuchResponse: nothing is known of it (any more).
        """
        row = await self._turns.find(response_id) if response_id.startswith("resp_") else None
        if row is None or row.reply_route.channel != CHANNEL:
            raise NoSuchResponse(response_id)
        model = str(row.reply_route.context.get(MODEL_NAME, ""))
        return Target(row.agent_id, model, row.session_key)

    async def abandoned(self, run_id: str) -> None:
        """Cancel a run because the connection that asked for it is gone."""
        await self._turns.cancel(run_id, GONE)


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """Return the request's key.

    Raises:
        InvalidRequest: it is too long.
    """
    key = headers.get("idempotency-key", "").strip()
    if len(key) > MAX_KEY or not key.isprintable():
        raise Refused(f"Idempotency-Key must be at most {MAX_KEY} printable characters")
    return key or None


def _session_key(ask: Ask) -> str:
    """Return the session; a repeat of a request without one is not a new session."""
    if ask.idempotency_key is None or not ask.target.is_fresh:
        return ask.target.session_key
    digest = hashlib.blake2b(ask.idempotency_key.encode(), digest_size=16).hexdigest()
    parsed = keys.parse(ask.target.session_key)
    return f"agent:{parsed.agent_id}:{parsed.rest.partition(':')[0]}:{digest}"


def _message(ask: Ask, conversation: Conversation) -> InboundMessage:
    sender = ask.user or CHANNEL
    key = ask.idempotency_key
    return InboundMessage(
        channel=CHANNEL,
        account="default",
        event_key=f"key:{key}" if key else new_id("req"),
        peer=Peer("direct", sender),
        sender=sender,
        sender_name=conversation.speaker,
        text=conversation.text,
        parts=conversation.parts,
        reply_context={MODEL_NAME: ask.target.model},
    )


def _request(ask: Ask, conversation: Conversation) -> TurnRequest:
    return TurnRequest(
        text="",
        system_prompt=conversation.system_prompt,
        model=ask.agent_model,
        thinking=ask.thinking,
        extensions=ask.extensions,
        prior=conversation.prior,
    )
