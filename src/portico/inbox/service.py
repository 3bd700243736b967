"""Accept → admit → route → lane, in one transaction.

Guarantees:
    - When `accept` returns, the message, the decision about it and its turn are on disk.
    - The same (channel, account, event key) is processed once: a repeat gets the first run's id.
      The same key with another content is refused.
    - The reply route is frozen here and never computed again.
    - What a caller has done beside it (a provider's cursor) is in the same transaction.

Not here: running the turn (a `Lanes` port is handed in), talking to providers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, select

from portico.agents.runtime import TurnRequest
from portico.channels.admission import Decision, Policy, Verdict
from portico.channels.model import Attachment, InboundMessage, ReplyRoute
from portico.clock import Clock
from portico.ids import new_id
from portico.inbox import console
from portico.inbox.console import MessageRow
from portico.inbox.contents import bare, body_of, fingerprint_of, has_bytes, searchable_text
from portico.inbox.model import (
    Accepted,
    Admitted,
    FilePort,
    FilesInRows,
    LanePort,
    OrderPort,
    Routing,
)
from portico.inbox.policy import OPEN_DOOR
from portico.inbox.tables import messages
from portico.observe.metrics import Metrics
from portico.protocol import keys
from portico.protocol.errors import Forbidden, IdempotencyMismatch, InvalidRequest
from portico.sessions import transcript
from portico.store import Store, Work, one, statement

FORGET_AT_ONCE = 500

_INSERT = statement(
    lambda insert: (
        insert(messages)
        .values(
            message_id=bindparam("message_id"),
            channel=bindparam("channel"),
            account=bindparam("account"),
            event_key=bindparam("event_key"),
            fingerprint=bindparam("fingerprint"),
            peer_kind=bindparam("peer_kind"),
            peer_id=bindparam("peer_id"),
            thread_id=bindparam("thread_id"),
            sender=bindparam("sender"),
            body=bindparam("body"),
            state=bindparam("state"),
            reason=bindparam("reason"),
            session_key=bindparam("session_key"),
            run_id=bindparam("run_id"),
            reply_route=bindparam("reply_route"),
            trace_id=bindparam("trace_id"),
            received_at=bindparam("now"),
        )
        .on_conflict_do_nothing(
            index_elements=[messages.c.channel, messages.c.account, messages.c.event_key]
        )
        .returning(messages.c.message_id)
    )
)

_FIND = statement(
    select(messages).where(
        messages.c.channel == bindparam("channel"),
        messages.c.account == bindparam("account"),
        messages.c.event_key == bindparam("event_key"),
    )
)

_GET_BY_RUN = statement(select(messages).where(messages.c.run_id == bindparam("r")).limit(1))
_old = messages.alias("old")
_FORGET = statement(
    delete(messages)
    .where(
        messages.c.message_id.in_(
            select(_old.c.message_id)
            .where(_old.c.received_at < bindparam("before"))
            .limit(bindparam("count"))
        )
    )
    .returning(messages.c.message_id)
)


class Inbox:
    """The one way in.

    Args:
        vouched_for: whether the operator vouches for who wrote a message; what others wrote is
            marked as untrusted, for good.
        route: where messages go whose door says nothing about it.
        files: where the bytes of files go.
        orders: who takes commands; `None`: all goes to agents.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        lanes: LanePort,
        files: FilePort | None = None,
        orders: OrderPort | None = None,
        policies: Callable[[str, str], Policy] = lambda _channel, _account: OPEN_DOOR,
        vouched_for: Callable[[InboundMessage], bool] = lambda _message: True,
        route: Callable[[InboundMessage], Routing] | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._route = route
        self._counted = (metrics or Metrics()).inbox_messages
        self._files: FilePort = files or FilesInRows()
        self._orders = orders
        self._store = store
        self._clock = clock
        self._lanes = lanes
        self._policies = policies
        self._vouched_for = vouched_for

    async def accept(
        self, message: InboundMessage, request: TurnRequest, routing: Routing | None = None
    ) -> Accepted:
        """Take responsibility for a message.

        Args:
            request: what its turn will be asked; the text and parts are the message's.
            routing: where it goes; `None`: the bindings decide.

        Raises:
            Forbidden: policy refuses the sender; the refusal is on record.
            IdempotencyMismatch: the event key was used for another message.
            InvalidRequest: a file of it is not taken.
            Unavailable: the store of files is full.
            Overloaded: the lane is full and its policy refuses the newest; nothing was stored.
        """
        accepted = await self._take_in(message, request, routing, must=True)
        if accepted.is_retold:
            raise IdempotencyMismatch(message.channel)
        if accepted.verdict is Verdict.REFUSE:
            raise Forbidden("user is not allowed", details={"code": "SENDER_NOT_ALLOWED"})
        return accepted

    async def take(
        self,
        message: InboundMessage,
        request: TurnRequest,
        routing: Routing | None = None,
        *,
        beside: Callable[[], Work[None]] | None = None,
        policy: Policy | None = None,
    ) -> Accepted:
        """Take responsibility for a message, refused or not: for doors that have nobody to tell.

        A file that cannot be kept is left out, and the message says so.

        Args:
            beside: done first in the same transaction, for duplicates too; when it raises,
                nothing is stored.
            policy: judges instead of the door's own.

        Raises:
            Overloaded: the lane is full and its policy refuses the newest; nothing was stored.
        """
        return await self._take_in(
            message, request, routing, must=False, beside=beside, policy=policy
        )

    async def _take_in(
        self,
        message: InboundMessage,
        request: TurnRequest,
        routing: Routing | None,
        *,
        must: bool,
        beside: Callable[[], Work[None]] | None = None,
        policy: Policy | None = None,
    ) -> Accepted:
        if routing is None:
            if self._route is None:
                raise TypeError("this inbox was given nothing that routes")
            routing = self._route(message)
        judge = policy or self._policies(message.channel, message.account)
        if has_bytes(message) and await self._refuses(judge, message):
            message, request = bare(message), msgspec.structs.replace(request, prior=())
        message, request = await self._files.keep(message, request, must=must)
        accepted = await self._store.write(
            self._take, message, request, routing, judge, beside, self._clock.now_ms()
        )
        self.begin(message, accepted)
        return accepted

    async def _refuses(self, judge: Policy, message: InboundMessage) -> bool:
        """Whether a message would be refused: then nothing of its files is kept."""
        return (await self._judged(judge, message)).verdict is Verdict.REFUSE

    async def foresee(self, message: InboundMessage) -> Verdict:
        """Return what the door's policy would decide about a message now; nothing is stored."""
        judge = self._policies(message.channel, message.account)
        return (await self._judged(judge, message)).verdict

    async def _judged(self, judge: Policy, message: InboundMessage) -> Decision:
        now, searchable = self._clock.now_ms(), searchable_text(message)
        return await self._store.read(judge.judge, message, searchable=searchable, now=now)

    def admit(
        self, message: InboundMessage, request: TurnRequest, routing: Routing
    ) -> Work[Accepted]:
        """The work of `take`, for whoever commits it with something of its own; then `begin`."""
        judge = self._policies(message.channel, message.account)
        return self._take(message, request, routing, judge, None, self._clock.now_ms())

    def begin(self, message: InboundMessage, accepted: Accepted) -> None:
        """Act on what `admit` committed."""
        outcome = "duplicate" if accepted.duplicate else accepted.verdict.value
        self._counted.inc(message.channel, outcome)
        if accepted.effect is not None:
            accepted.effect.committed()
        if accepted.turn is not None:
            self._lanes.begin(accepted.turn)
        if accepted.order is not None and self._orders is not None:
            self._orders.begin(accepted.order)

    def _take(  # noqa: PLR0917  # called by `take` and `admit` alone
        self,
        message: InboundMessage,
        request: TurnRequest,
        routing: Routing,
        policy: Policy,
        beside: Callable[[], Work[None]] | None,
        now: int,
    ) -> Work[Accepted]:
        if beside is not None:
            yield from beside()
        decision = yield from policy.judge(message, searchable=searchable_text(message), now=now)
        admitted = decision.verdict is Verdict.ADMIT
        run_id = (routing.run_id or new_id("run")) if admitted else None
        route = message.reply_route
        fingerprint = fingerprint_of(message, request, routing)
        message_id = new_id("msg")
        inserted = yield _INSERT(
            message_id=message_id,
            channel=message.channel,
            account=message.account,
            event_key=message.event_key,
            fingerprint=fingerprint,
            peer_kind=message.peer.kind,
            peer_id=message.peer.id,
            thread_id=message.thread_id,
            sender=message.sender,
            body=body_of(message),
            state={Verdict.ADMIT: "queued", Verdict.CONTEXT: "context"}.get(
                decision.verdict, "refused"
            ),
            reason=decision.reason,
            session_key=routing.session_key,
            run_id=run_id,
            reply_route=msgspec.json.encode(route).decode(),
            trace_id=message.trace_id,
            now=now,
        )
        if not inserted:
            return (yield from self._repeat(message, fingerprint))
        if decision.effect is not None:
            yield from decision.effect.work(now)
        accepted = Accepted(
            message_id,
            run_id,
            routing.session_key,
            decision.verdict,
            reason=decision.reason,
            effect=decision.effect,
        )
        if decision.verdict is Verdict.REFUSE:
            return accepted
        yield from self._files.refer(
            message, request, message_id=message_id, session_key=routing.session_key, now=now
        )
        session = yield from transcript.open_session(
            routing.session_key,
            agent_id=routing.agent_id,
            channel=message.channel,
            chat_type=message.peer.kind,
            created_via=routing.created_via,
            now=now,
            reply_route=None if routing.keeps_route else msgspec.json.encode(route).decode(),
        )
        if run_id is None:
            yield from _keep_as_context(
                message, routing.session_key, now, is_untrusted=self.is_untrusted(message)
            )
            return accepted
        whole = msgspec.structs.replace(
            request,
            text=message.text,
            parts=message.parts,
            attachments=message.attachments,
            sender=message.sender,
            sender_name=message.sender_name,
            received_at_ms=now,
            message_id=message_id,
            is_untrusted=self.is_untrusted(message),
            model=request.model or session.model,
            thinking=request.thinking or session.settings.get("thinkingLevel"),
        )
        to_answer = Admitted(run_id, routing, whole, route, fingerprint, message.channel)
        if self._orders is not None:
            order = yield from self._orders.take(message, to_answer, now=now)
            if order is not None:
                return replace(accepted, order=order)
            to_answer = self._orders.as_text(message, to_answer)
        return replace(accepted, turn=(yield from self._lanes.enqueue(to_answer)))

    def is_untrusted(self, message: InboundMessage) -> bool:
        """Whether the operator does not vouch for who wrote a message."""
        known = message.is_untrusted
        return not self._vouched_for(message) if known is None else known

    def _repeat(self, message: InboundMessage, fingerprint: str) -> Work[Accepted]:
        rows = yield _FIND(
            channel=message.channel, account=message.account, event_key=message.event_key
        )
        row = rows[0]
        verdict = {"queued": Verdict.ADMIT, "context": Verdict.CONTEXT}.get(
            row["state"], Verdict.REFUSE
        )
        return Accepted(
            row["message_id"],
            row["run_id"],
            row["session_key"],
            verdict,
            duplicate=True,
            is_retold=row["fingerprint"] != fingerprint,
            reason=row["reason"],
        )

    async def answer_after_all(
        self, message: MessageRow, asked: TurnRequest | None, *, reason: str
    ) -> str:
        """Put a message that was not answered into its lane; return the new run's id.

        Args:
            asked: what its run was asked, when it had one.

        Raises:
            InvalidRequest: somebody else just did.
            Overloaded: the lane is full.
        """
        run_id = new_id("run")
        turn = await self._store.write(
            self._admit, message, asked, run_id, reason, self._clock.now_ms()
        )
        if turn is None:
            raise InvalidRequest(f"message {message.message_id} changed meanwhile; look again")
        self._lanes.begin(turn)
        return run_id

    def _admit(
        self,
        message: MessageRow,
        asked: TurnRequest | None,
        run_id: str,
        reason: str,
        now: int,
    ) -> Work[Any]:
        if not (yield from console.admit(message, run_id, reason)):
            return None
        key, route = message.session_key or "", message.reply_route
        agent_id = keys.agent_of(key, default_agent="main")
        yield from transcript.open_session(
            key,
            agent_id=agent_id,
            channel=message.channel,
            chat_type=message.peer_kind,
            created_via="channel",
            now=now,
            reply_route=msgspec.json.encode(route).decode(),
        )
        request = asked or self._request_of(message)
        fingerprint = hashlib.blake2b(run_id.encode(), digest_size=16).hexdigest()
        routing = Routing(key, agent_id, run_id)
        return (
            yield from self._lanes.enqueue(
                Admitted(run_id, routing, request, route, fingerprint, message.channel)
            )
        )

    def _request_of(self, message: MessageRow) -> TurnRequest:
        body, route = message.body, message.reply_route
        told = InboundMessage(
            channel=message.channel,
            account=message.account,
            event_key=message.message_id,
            peer=route.peer,
            sender=message.sender,
            text=str(body.get("text", "")),
            is_untrusted=body.get("isUntrusted"),
        )
        return TurnRequest(
            text=told.text,
            parts=tuple(body.get("parts", ())),
            attachments=msgspec.convert(body.get("attachments", ()), tuple[Attachment, ...]),
            sender=message.sender,
            sender_name=body.get("senderName"),
            received_at_ms=message.received_at,
            message_id=message.message_id,
            is_untrusted=self.is_untrusted(told),
        )

    async def forget(self, *, before_ms: int) -> int:
        """Delete messages received before a time, some at a time; return how many.

        A repeat of a forgotten message is processed as new, so keep them longer than any provider
        repeats itself.
        """

        def forget_some() -> Work[int]:
            return len((yield _FORGET(before=before_ms, count=FORGET_AT_ONCE)))

        total = 0
        while count := await self._store.write(forget_some):
            total += count
        return total

    async def route_of(self, run_id: str) -> ReplyRoute | None:
        """Return the frozen reply route of a run's message."""

        def get() -> Work[ReplyRoute | None]:
            row = one((yield _GET_BY_RUN(r=run_id)))
            return None if row is None else msgspec.json.decode(row["reply_route"], type=ReplyRoute)

        return await self._store.read(get)


def _keep_as_context(
    message: InboundMessage, session_key: str, now: int, *, is_untrusted: bool
) -> Work[None]:
    yield from transcript.append(
        session_key,
        role="user",
        content=transcript.message_content(message.text, message.parts, message.attachments),
        now=now,
        meta={
            "sender": message.sender,
            "senderName": message.sender_name,
            "context": True,
            **transcript.marked(is_untrusted=is_untrusted),
        },
    )
