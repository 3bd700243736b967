"""One WebSocket on the gateway's port: the shell between a socket and a conversation.

uvicorn hands the upgraded connection over; the websockets library speaks RFC 6455; `rpc.connection`
decides what is said. This class moves bytes between them and never waits for a client.

Guarantees: the replies to everything in one read leave in one write, the events of one loop tick in
another; a client that does not read is first no longer read from, then loses droppable events, then
is closed with `slow consumer`; a frame that is not UTF-8 costs one log line and no traceback.

Source: RFC 6455; OpenClaw gateway protocol, "Transport".
"""

from __future__ import annotations

import asyncio
import http
from functools import partial
from typing import Any, ClassVar, cast
from urllib.parse import parse_qs

import structlog
from websockets.frames import BINARY, CLOSE, CONT, TEXT, Frame
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from portico.auth.forwarded import header_map
from portico.auth.model import Principal
from portico.auth.peer import Peer, peer_of, plain_ip
from portico.auth.service import Admitted
from portico.events.hub import Replay, Subscription
from portico.ids import ConnId, new_uuid
from portico.protocol.connect import ConnectParams
from portico.protocol.errors import Forbidden, GatewayError, Outcome, Unavailable
from portico.protocol.frames import RequestFrame
from portico.rpc.call import Call
from portico.rpc.connection import Authenticate, Close, Connection, Effects, Send
from portico.rpc.method import Method
from portico.web.arrival import presence_of, subscription_for
from portico.web.control_plane import ControlPlane
from portico.web.problem import translate
from portico.web.wire import Wire, text_header

log = structlog.get_logger()

HIGH_WATER_BYTES = 262_144


class GatewaySocket(asyncio.Protocol):
    """One client's WebSocket. Subclassed once per control plane by `websocket_protocol`."""

    __slots__ = (
        "_call",
        "_connection",
        "_connections",
        "_fragments",
        "_is_binary",
        "_is_flush_due",
        "_is_full",
        "_is_heard",
        "_last_buffered",
        "_out",
        "_peer",
        "_presence_key",
        "_subscription",
        "_transport",
        "_wire",
        "_written_close",
        "conn_id",
        "ip",
        "is_pinged",
        "principal",
    )

    plane: ClassVar[ControlPlane]

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        """Take over from uvicorn's HTTP side, in the words of its WebSocket classes."""
        self._connections: set[Any] = server_state.connections
        self._transport: asyncio.Transport | None = None
        self._wire: Wire | None = None
        self._connection: Connection | None = None
        self._subscription: Subscription | None = None
        self._call: Call | None = None
        self._peer: Peer | None = None
        self._presence_key: str | None = None
        self._out: list[bytes] = []
        self._fragments: bytearray | None = None
        self._is_binary = False
        self._is_flush_due = False
        self._is_full = False
        self._is_heard = False
        self._last_buffered = 0
        self._written_close = False
        self.is_pinged = False
        self.conn_id = ConnId("")
        self.ip: str | None = None
        self.principal: Principal | None = None

    # --- the socket (typing has @override since 3.12) -----------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # type: ignore[explicit-override]
        """Remember the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:  # type: ignore[explicit-override]
        """Take bytes from the client: first its upgrade request, then frames."""
        wire = self._wire
        if wire is None:
            self._shake_hands(data)
            return
        self._is_heard = True
        self._is_flush_due = True  # replies wait for the end of this read
        try:
            wire.receive_data(data)
            if wire.writes and wire.state is OPEN:
                self._out += wire.data_to_send()  # pongs go before the replies, a close after them
            for frame in wire.events_received():
                self._take_frame(cast("Frame", frame))
        except Exception:
            log.exception("ws.failed", conn_id=self.conn_id)
            self.close(1011, "gateway message handler unavailable")
        finally:
            self._is_flush_due = False
        if wire.writes:
            self._move_writes(wire)
        self.flush()

    def eof_received(self) -> None:  # type: ignore[explicit-override]
        """The client has hung up; the transport closes by itself."""
        if self._wire is not None and self._wire.parser_exc is None:
            self._wire.receive_eof()

    def pause_writing(self) -> None:  # type: ignore[explicit-override]
        """Stop reading from a client that does not read."""
        self._is_full = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:  # type: ignore[explicit-override]
        """Read again."""
        self._is_full = False
        self._last_buffered = 0
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # type: ignore[explicit-override]
        """Forget the client."""
        self._connections.discard(self)
        self.plane.lost(self)
        if self._connection is not None:
            self._connection.lost()
        if self._subscription is not None:
            self.plane.hub.unsubscribe(self.conn_id)
            self.plane.nodes.gone(self.conn_id)
            self.plane.hello.closed(self.conn_id)
            log.debug("ws.closed", conn_id=self.conn_id)
        if self._presence_key is not None:
            self.plane.presence.left(self._presence_key)
        self._out.clear()
        self._transport = None

    def shutdown(self) -> None:
        """The server stops (uvicorn calls this)."""
        if self._connection is None:
            self.abort()
        else:
            self.close(1012, "service restart")

    # --- the handshake ------------------------------------------------------------------------

    def _shake_hands(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        server = ServerProtocol(max_size=None, logger=self.plane.wire_log)
        server.receive_data(data)
        request = next((e for e in server.events_received() if isinstance(e, Request)), None)
        if request is not None and server.handshake_exc is None:
            server.send_response(self._respond(server, request))
        transport.write(b"".join(server.data_to_send()))
        if server.state is not OPEN or request is None:
            transport.close()
            return
        self._begin()

    def _respond(self, server: ServerProtocol, request: Request) -> Response:
        path, _, query = request.path.partition("?")
        self._peer = peer_of(
            _remote_ip(self._transport),
            header_map(request.headers.raw_items()),
            rules=self.plane.authenticator.peer_rules,
            local_port=_local_port(self._transport),
            query_token=parse_qs(query).get("token", [None])[0],
            is_secure=self._transport is not None
            and self._transport.get_extra_info("sslcontext") is not None,
        )
        self.ip = self._peer.ip
        if self.plane.claimed(path):
            return server.reject(http.HTTPStatus.NOT_FOUND, "Not Found\n")
        try:
            self.plane.authenticator.check_peer(self._peer)
        except Forbidden as error:
            return _forbidden(server, error)
        if not self.plane.has_room(self.ip):
            log.warning("ws.no_room", ip=self.ip, open=len(self.plane))
            return server.reject(http.HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections\n")
        return server.accept(request)

    def _begin(self) -> None:
        plane = self.plane
        self._wire = Wire(
            max_size=plane.limits.max_preauth_payload_bytes,
            too_big_reason="preauth payload too large",
            logger=plane.wire_log,
        )
        self.conn_id = ConnId(new_uuid())
        self._connection = Connection(new_uuid(), plane.gate, plane.connection_limits)
        plane.opened(self)
        self._send(self._connection.challenge(plane.clock.now_ms()).data)
        self.flush()

    async def _authenticate(self, params: ConnectParams) -> None:
        connection, peer = self._connection, self._peer
        if connection is None or peer is None:
            return
        try:
            admitted = await self.plane.authenticator.authenticate(params, peer, connection.nonce)
            arrival = await self.plane.nodes.expect(self.conn_id, params, admitted.principal)
            self.plane.authenticator.check_still_good(admitted)
        except GatewayError as error:
            self._log_refusal(params, error)
            self._run(connection.refused(error))
        except Exception:
            log.exception("ws.authenticate_failed", conn_id=self.conn_id)
            self._run(connection.close(1011, "gateway message handler unavailable"))
        else:
            is_in = self._admit(connection, params, admitted, arrival)
            await self.plane.authenticator.settle(admitted, delivered=is_in)

    def _log_refusal(self, params: ConnectParams, error: GatewayError) -> None:
        log.info(
            "ws.refused",
            conn_id=self.conn_id,
            client=params.client.id,
            ip=self.ip,
            code=error.details.get("code"),
            reason=error.message,
        )

    def _admit(
        self, connection: Connection, params: ConnectParams, admitted: Admitted, arrival: Any
    ) -> bool:
        """Say hello; `False` when nobody is there any more."""
        if self._transport is None or self._wire is None:
            return False
        plane, principal = self.plane, admitted.principal
        subscription = subscription_for(
            self.conn_id, self, params=params, principal=principal, dialect=connection.dialect
        )
        replay, frames = None, None
        if subscription.wants_cursor:
            if params.resume is None:
                replay = Replay(plane.hub.cursor, "fresh")
            else:
                replay, frames = plane.hub.replay(subscription, params.resume.cursor)
        base_url = "" if self._peer is None else self._peer.base_url
        hello = plane.hello.build(self.conn_id, admitted, replay, base_url=base_url)
        effects = connection.admitted(hello)
        if not effects:
            plane.hello.closed(self.conn_id)
            return False
        self.principal = principal
        self._call = Call(principal, self)
        self._subscription = subscription
        self._peer = None
        self._wire.max_message_size = plane.limits.max_payload_bytes
        self._wire.too_big_reason = ""
        plane.admitted(self)
        self._run(effects)
        for frame in frames or ():
            self._send(frame)
        plane.hub.subscribe(subscription)
        if arrival is not None:
            plane.nodes.connected(arrival)
        self._presence_key, entry = presence_of(
            self.conn_id, params=params, principal=principal, now_ms=plane.clock.now_ms()
        )
        plane.presence.joined(self._presence_key, entry)
        log.debug("ws.admitted", conn_id=self.conn_id, client=principal.client_id)
        self._run(connection.resume())
        return True

    # --- frames in ----------------------------------------------------------------------------

    def _take_frame(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is TEXT or opcode is BINARY:
            if frame.fin:
                self._take_message(frame.data, is_binary=opcode is BINARY)
            else:
                self._fragments = bytearray(frame.data)
                self._is_binary = opcode is BINARY
        elif opcode is CONT and self._fragments is not None:
            self._fragments += frame.data
            if frame.fin:
                data, self._fragments = self._fragments, None
                self._take_message(data, is_binary=self._is_binary)
        elif opcode is CLOSE and self._connection is not None:
            self._connection.lost()

    def _take_message(self, data: Any, *, is_binary: bool) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            text = str(data, "utf-8", "replace" if is_binary else "strict")
        except UnicodeDecodeError:
            log.warning("ws.bad_utf8", conn_id=self.conn_id, ip=self.ip, size_bytes=len(data))
            self._run(connection.close(1007, "invalid UTF-8"))
            return
        self._run(connection.receive(text))

    def _run(self, effects: Effects) -> None:
        for effect in effects:
            match effect:
                case RequestFrame():
                    self._invoke(effect)
                case Send():
                    self._send(effect.data)
                case Close():
                    self._write_close(effect)
                case Authenticate():
                    self.plane.tasks.start(
                        self._authenticate(effect.params), name="ws.authenticate"
                    )

    def _invoke(self, frame: RequestFrame) -> None:
        call, connection = self._call, self._connection
        if call is None or connection is None:
            return
        dispatcher = self.plane.dispatcher
        if frame.traceparent is not None:
            call = Call(call.principal, self, trace_id=_trace_id(frame.traceparent))
        try:
            target, params = dispatcher.prepare(frame.method, frame.params, call)
            if dispatcher.is_immediate(target, params):
                result = dispatcher.call_now(target, params, call)
                self._run(_succeed(connection, frame.id, target, result))
                return
        except GatewayError as error:
            self._run(connection.failed(frame.id, error))
            return
        connection.begin(frame.id)
        call = Call(
            call.principal,
            self,
            accept=partial(self._accept, frame.id),
            trace_id=call.trace_id,
        )
        self.plane.tasks.start(self._answer(frame.id, target, params, call), name=target.name)

    async def _answer(self, request_id: str, target: Method, params: Any, call: Call) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            result = await self.plane.dispatcher.call(target, params, call)
        except GatewayError as error:
            self._run(connection.failed(request_id, error))
        except asyncio.CancelledError:
            stopping = Unavailable("gateway stopping", outcome=Outcome.UNCERTAIN)
            self._run(connection.failed(request_id, stopping))
            raise
        else:
            self._run(_succeed(connection, request_id, target, result))

    def _accept(self, request_id: str, payload: Any) -> None:
        if self._connection is not None:
            self._run(self._connection.accepted(request_id, payload))

    # --- frames out ---------------------------------------------------------------------------

    def send_event(self, frame: bytes, *, droppable: bool) -> bool:
        """Queue an event; `False` when the client is too slow for it."""
        if self._transport is None or self._written_close:
            return False
        if not self._is_full:
            self._send(frame)
            return True
        if self._buffered + len(frame) > self.plane.limits.max_buffered_bytes:
            if not droppable:
                self._slow_consumer()
            return False
        self._send(frame)
        self.flush()  # nothing is gained by waiting, and the next event must see the true size
        return True

    def flush(self) -> None:
        """Write everything that is queued, at once."""
        self._is_flush_due = False
        out, transport = self._out, self._transport
        if not out or transport is None:
            return
        transport.write(b"".join(out))
        out.clear()
        if self._is_full and self._buffered > self.plane.limits.max_buffered_bytes:
            self._slow_consumer()

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection; it is cut when the client does not answer in time."""
        if self._connection is not None:
            self._run(self._connection.close(code, reason))
            self.flush()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def ping(self) -> bool:
        """Ask the client whether it is there; `False`: it did not answer the last time."""
        wire, transport = self._wire, self._transport
        if wire is None or transport is None or wire.state is not OPEN:
            return False
        if self.is_pinged and not self._is_heard and not self._is_draining():
            log.debug("ws.heartbeat_timeout", conn_id=self.conn_id)
            transport.abort()
            return False
        self._is_heard = False
        self.is_pinged = True
        wire.send_ping(b"")
        self._out += wire.data_to_send()
        self.flush()
        return True

    def _is_draining(self) -> bool:
        if not self._is_full:
            return False
        before, self._last_buffered = self._last_buffered, self._buffered
        return before == 0 or self._last_buffered < before

    @property
    def _buffered(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def _send(self, data: bytes) -> None:
        if self._written_close:
            return
        out = self._out
        out.append(text_header(len(data)))
        out.append(data)
        if not self._is_flush_due:
            self._is_flush_due = True
            self.plane.flush_soon(self)

    def _write_close(self, close: Close) -> None:
        wire = self._wire
        if wire is None or self._transport is None or self._written_close:
            return
        if wire.state is OPEN:
            if close.code == 1007:
                wire.fail(close.code, close.reason)  # RFC 6455: do not wait for the client
            else:
                wire.send_close(close.code, close.reason)
        self._move_writes(wire)
        if not self._is_flush_due:
            self._is_flush_due = True
            self.plane.flush_soon(self)

    def _move_writes(self, wire: Wire) -> None:
        """Queue what the library wants sent: pongs, or a close that ends everything."""
        writes = wire.data_to_send()
        if not self._written_close:
            self._out += writes
        if wire.state is OPEN:
            return
        self._written_close = True
        if self._connection is not None:
            self._connection.lost()
        if b"" in writes:
            self.flush()
            if self._transport is not None:
                self._transport.close()
        if self._transport is not None:
            self.plane.closing(self)

    def _slow_consumer(self) -> None:
        if self._written_close:
            return
        log.warning("ws.slow_consumer", conn_id=self.conn_id, buffered_bytes=self._buffered)
        self.close(1008, "slow consumer")

    # --- what handlers may do with their connection -------------------------------------------

    def follow_session_list(self, following: bool) -> None:  # noqa: FBT001 - ConnectionHandle's
        """Start or stop receiving `sessions.changed` and the events of every session."""
        if self._subscription is not None:
            self._subscription.session_list = following

    def follow_session(self, session_key: str, following: bool) -> None:  # noqa: FBT001
        """Start or stop receiving one session's messages."""
        if self._subscription is not None:
            self._subscription.follow(session_key, following=following)


def websocket_protocol(plane: ControlPlane) -> type[asyncio.Protocol]:
    """Return the class to give to `uvicorn.Config(ws=…)`."""
    return type("PorticoWebSocket", (GatewaySocket,), {"__slots__": (), "plane": plane})


def _succeed(connection: Connection, request_id: str, target: Method, result: Any) -> Effects:
    try:
        return connection.succeeded(request_id, result)
    except (TypeError, ValueError) as error:  # the handler returned what JSON cannot say
        log.error("rpc.unencodable_result", method=target.name, exc_info=error)
        failure = Unavailable(
            f"{target.name} failed; see the gateway log",
            details={"code": "INTERNAL_ERROR"},
            outcome=Outcome.DONE,
        )
        return connection.failed(request_id, failure)


def _trace_id(traceparent: str) -> str:
    """Return the trace id of a W3C trace context header, or the header itself."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) >= 4 and len(parts[1]) == 32 else traceparent


def _remote_ip(transport: asyncio.Transport | None) -> str | None:
    peername = transport.get_extra_info("peername") if transport is not None else None
    return plain_ip(str(peername[0])) if isinstance(peername, tuple) else None


def _local_port(transport: asyncio.Transport | None) -> int:
    sockname = transport.get_extra_info("sockname") if transport is not None else None
    return int(sockname[1]) if isinstance(sockname, tuple) else 0


def _forbidden(server: ServerProtocol, error: GatewayError) -> Response:
    """Refuse an upgrade as the HTTP side refuses a request."""
    refused = server.reject(http.HTTPStatus.FORBIDDEN, "")
    answer = translate(error)
    refused.body = bytes(answer.body)
    for name in ("content-type", "content-length"):
        del refused.headers[name]
        refused.headers[name] = answer.headers[name]
    return refused
