"""The client at the other end of a WebSocket: let in, heard, answered.

`rpc.connection` decides what is said; this class carries it out: it has the client judged, its
methods called, and hands what goes out to the socket.

Not here: bytes and frames (`web.ws`), what all connections share (`web.control_plane`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol

import structlog

from portico.auth.model import Principal
from portico.auth.peer import Peer
from portico.auth.service import Admitted
from portico.events.hub import Replay, Sink, Subscription
from portico.ids import ConnId, new_uuid
from portico.protocol.connect import ConnectParams
from portico.protocol.errors import GatewayError, Outcome, Unavailable
from portico.protocol.frames import RequestFrame
from portico.rpc.call import Call
from portico.rpc.connection import Authenticate, Close, Connection, Effects, Send
from portico.rpc.method import Method
from portico.store.refusal import refusal_of
from portico.web.arrival import presence_of, subscription_for
from portico.web.control_plane import ControlPlane

log = structlog.get_logger()


class Line(Sink, Protocol):
    """The socket, as far as the client at its end needs it."""

    @property
    def is_open(self) -> bool:
        """Whether somebody may still be there."""
        ...

    def let_in(self) -> None:
        """Take larger messages from now on."""
        ...

    def send(self, data: bytes) -> None:
        """Queue a text frame."""
        ...

    def end(self, close: Close) -> None:
        """Queue a close; nothing follows it."""
        ...


class Caller:
    """One client."""

    __slots__ = (
        "_call",
        "_connection",
        "_line",
        "_peer",
        "_plane",
        "_presence_key",
        "_subscription",
        "conn_id",
        "principal",
    )

    def __init__(self, plane: ControlPlane, line: Line, peer: Peer) -> None:
        self.conn_id = ConnId(new_uuid())
        self.principal: Principal | None = None
        self._plane = plane
        self._line = line
        self._peer: Peer | None = peer
        self._connection = Connection(new_uuid(), plane.gate, plane.connection_limits)
        self._call: Call | None = None
        self._subscription: Subscription | None = None
        self._presence_key: str | None = None

    # --- the conversation ---------------------------------------------------------------------

    def challenge(self) -> None:
        """Say the first word."""
        self._line.send(self._connection.challenge(self._plane.clock.now_ms()).data)

    def receive(self, text: str) -> None:
        """Hear a message."""
        self._run(self._connection.receive(text))

    def close(self, code: int, reason: str = "") -> None:
        """Say no more, and why."""
        self._run(self._connection.close(code, reason))

    def hush(self) -> None:
        """Say no more: the socket is closing."""
        self._connection.lost()

    def gone(self) -> None:
        """Forget the client."""
        self._connection.lost()
        self._call = None
        plane = self._plane
        if self._subscription is not None:
            plane.hub.unsubscribe(self.conn_id)
            plane.nodes.gone(self.conn_id)
            plane.hello.closed(self.conn_id)
            log.debug("ws.closed", conn_id=self.conn_id)
        if self._presence_key is not None:
            plane.presence.left(self._presence_key)

    def _run(self, effects: Effects) -> None:
        for effect in effects:
            match effect:
                case RequestFrame():
                    self._invoke(effect)
                case Send():
                    self._line.send(effect.data)
                case Close():
                    self._line.end(effect)
                case Authenticate():
                    judging = self._authenticate(effect.params)
                    self._plane.tasks.start(judging, name="ws.authenticate")

    # --- letting in ---------------------------------------------------------------------------

    async def _authenticate(self, params: ConnectParams) -> None:
        connection, peer, plane = self._connection, self._peer, self._plane
        if peer is None:
            return
        try:
            admitted = await plane.authenticator.authenticate(params, peer, connection.nonce)
            arrival = await plane.nodes.expect(self.conn_id, params, admitted.principal)
            plane.authenticator.check_still_good(admitted)
        except GatewayError as error:
            self._log_refusal(params, peer, error)
            self._run(connection.refused(error))
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is not None:
                self._log_refusal(params, peer, refusal)
                self._run(connection.refused(refusal))
                return
            log.exception("ws.authenticate_failed", conn_id=self.conn_id)
            self.close(1011, "gateway message handler unavailable")
        else:
            is_in = self._admit(params, admitted, peer)
            if is_in:
                self._arrive(params, admitted.principal, arrival)
            await plane.authenticator.settle(admitted, delivered=is_in)

    def _log_refusal(self, params: ConnectParams, peer: Peer, error: GatewayError) -> None:
        log.info(
            "ws.refused",
            conn_id=self.conn_id,
            client=params.client.id,
            ip=peer.ip,
            code=error.details.get("code"),
            reason=error.message,
        )

    def _admit(self, params: ConnectParams, admitted: Admitted, peer: Peer) -> bool:
        """Say hello, and what was missed; `False` when nobody is there any more."""
        if not self._line.is_open:
            return False
        plane, principal = self._plane, admitted.principal
        subscription = subscription_for(
            self.conn_id,
            self._line,
            params=params,
            principal=principal,
            dialect=self._connection.dialect,
        )
        replay, frames = self._missed(subscription, params)
        hello = plane.hello.build(self.conn_id, admitted, replay, base_url=peer.base_url)
        effects = self._connection.admitted(hello)
        if not effects:
            plane.hello.closed(self.conn_id)
            return False
        self.principal = principal
        self._call = Call(principal, self)
        self._subscription = subscription
        self._peer = None
        self._line.let_in()
        self._run(effects)
        for frame in frames:
            self._line.send(frame)
        plane.hub.subscribe(subscription)
        return True

    def _missed(
        self, subscription: Subscription, params: ConnectParams
    ) -> tuple[Replay | None, Iterator[bytes]]:
        """Return where a client is in the events, and those it missed."""
        hub = self._plane.hub
        if not subscription.wants_cursor:
            return None, iter(())
        if params.resume is None:
            return Replay(hub.cursor, "fresh"), iter(())
        return hub.replay(subscription, params.resume.cursor)

    def _arrive(self, params: ConnectParams, principal: Principal, arrival: Any) -> None:
        """Let the others see the client, then hear what it said in the meantime."""
        plane = self._plane
        if arrival is not None:
            plane.nodes.connected(arrival)
        self._presence_key, entry = presence_of(
            self.conn_id, params=params, principal=principal, now_ms=plane.clock.now_ms()
        )
        plane.presence.joined(self._presence_key, entry)
        log.debug("ws.admitted", conn_id=self.conn_id, client=principal.client_id)
        self._run(self._connection.resume())

    # --- calling methods ----------------------------------------------------------------------

    def _invoke(self, frame: RequestFrame) -> None:
        call, dispatcher = self._call, self._plane.dispatcher
        if call is None:
            return
        if frame.traceparent is not None:
            call = Call(call.principal, self, trace_id=_trace_id(frame.traceparent))
        try:
            target, params = dispatcher.prepare(frame.method, frame.params, call)
            if dispatcher.is_immediate(target, params):
                self._succeed(frame.id, target, dispatcher.call_now(target, params, call))
                return
        except GatewayError as error:
            self._run(self._connection.failed(frame.id, error))
            return
        self._connection.begin(frame.id)
        accept = partial(self._accept, frame.id)
        call = Call(call.principal, self, accept=accept, trace_id=call.trace_id)
        self._plane.tasks.start(self._answer(frame.id, target, params, call), name=target.name)

    async def _answer(self, request_id: str, target: Method, params: Any, call: Call) -> None:
        try:
            result = await self._plane.dispatcher.call(target, params, call)
        except GatewayError as error:
            self._run(self._connection.failed(request_id, error))
        except asyncio.CancelledError:
            stopping = Unavailable("gateway stopping", outcome=Outcome.UNCERTAIN)
            self._run(self._connection.failed(request_id, stopping))
            raise
        else:
            self._succeed(request_id, target, result)

    def _accept(self, request_id: str, payload: Any) -> None:
        self._run(self._connection.accepted(request_id, payload))

    def _succeed(self, request_id: str, target: Method, result: Any) -> None:
        try:
            effects = self._connection.succeeded(request_id, result)
        except (TypeError, ValueError, RecursionError) as error:  # JSON cannot say what it is
            log.error("rpc.unencodable_result", method=target.name, exc_info=error)
            failure = Unavailable(
                f"{target.name} failed; see the gateway log",
                details={"code": "INTERNAL_ERROR"},
                outcome=Outcome.DONE,
            )
            effects = self._connection.failed(request_id, failure)
        self._run(effects)

    # --- what handlers may do with their connection -------------------------------------------

    def follow_session_list(self, following: bool) -> None:  # noqa: FBT001 - ConnectionHandle's
        """Start or stop receiving `sessions.changed` and the events of every session."""
        if self._subscription is not None:
            self._subscription.session_list = following

    def follow_session(self, session_key: str, following: bool) -> None:  # noqa: FBT001
        """Start or stop receiving one session's messages."""
        if self._subscription is not None:
            self._subscription.follow(session_key, following=following)


def _trace_id(traceparent: str) -> str:
    """Return the trace id of a W3C trace context header, or the header itself."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) >= 4 and len(parts[1]) == 32 else traceparent
