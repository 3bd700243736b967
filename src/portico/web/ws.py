"""One WebSocket on the gateway's port: the shell between a socket and the client at its end.

uvicorn hands the upgraded connection over; the websockets library speaks RFC 6455; `web.caller`
hears and answers. This class moves bytes between them and never waits for a client.

Guarantees: the replies to everything in one read leave in one write, the events of one loop tick in
another; a client that does not read is first no longer read from, then loses droppable events, then
is closed with `slow consumer`; a frame that is not UTF-8 costs one log line and no traceback.

Source: RFC 6455; OpenClaw gateway protocol, "Transport".
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, cast

import structlog
from websockets.frames import BINARY, CLOSE, CONT, TEXT, Frame
from websockets.protocol import OPEN

from portico.auth.model import Principal
from portico.auth.peer import Peer
from portico.ids import ConnId
from portico.rpc.connection import Close
from portico.web.caller import Caller
from portico.web.control_plane import ControlPlane
from portico.web.upgrade import answer_upgrade
from portico.web.wire import Wire, text_header

log = structlog.get_logger()

HIGH_WATER_BYTES = 262_144


class GatewaySocket(asyncio.Protocol):
    """One client's WebSocket. Subclassed once per control plane by `websocket_protocol`."""

    __slots__ = (
        "_caller",
        "_connections",
        "_fragments",
        "_is_binary",
        "_is_flush_due",
        "_is_full",
        "_is_heard",
        "_last_buffered",
        "_out",
        "_transport",
        "_wire",
        "_written_close",
        "ip",
        "is_pinged",
    )

    plane: ClassVar[ControlPlane]

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        """Take over from uvicorn's HTTP side, in the words of its WebSocket classes."""
        self._connections: set[Any] = server_state.connections
        self._transport: asyncio.Transport | None = None
        self._wire: Wire | None = None
        self._caller: Caller | None = None
        self._out: list[bytes] = []
        self._fragments: bytearray | None = None
        self._is_binary = False
        self._is_flush_due = False
        self._is_full = False
        self._is_heard = False
        self._last_buffered = 0
        self._written_close = False
        self.is_pinged = False
        self.ip: str | None = None

    @property
    def conn_id(self) -> ConnId:
        """The id of the client's connection; empty before the handshake."""
        return ConnId("") if self._caller is None else self._caller.conn_id

    @property
    def principal(self) -> Principal | None:
        """Who the client is, once it is let in."""
        return None if self._caller is None else self._caller.principal

    @property
    def is_open(self) -> bool:
        """Whether the client may still be there."""
        return self._transport is not None

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
        caller, self._caller = self._caller, None
        if caller is not None:
            caller.gone()
        self._out.clear()
        self._transport = None

    def shutdown(self) -> None:
        """The server stops (uvicorn calls this)."""
        if self._caller is None:
            self.abort()
        else:
            self.close(1012, "service restart")

    # --- the handshake ------------------------------------------------------------------------

    def _shake_hands(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        upgrade = answer_upgrade(data, transport, self.plane)
        transport.write(upgrade.reply)
        if upgrade.peer is None:
            transport.close()
            return
        self.ip = upgrade.peer.ip
        self._begin(upgrade.peer)

    def _begin(self, peer: Peer) -> None:
        plane = self.plane
        self._wire = Wire(
            max_size=plane.limits.max_preauth_payload_bytes,
            too_big_reason="preauth payload too large",
            logger=plane.wire_log,
        )
        self._caller = Caller(plane, self, peer)
        plane.opened(self)
        self._caller.challenge()
        self.flush()

    def let_in(self) -> None:
        """Take larger messages from now on, without a limit of time."""
        if self._wire is not None:
            self._wire.max_message_size = self.plane.limits.max_payload_bytes
            self._wire.too_big_reason = ""
        self.plane.admitted(self)

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
        elif opcode is CLOSE and self._caller is not None:
            self._caller.hush()

    def _take_message(self, data: Any, *, is_binary: bool) -> None:
        caller = self._caller
        if caller is None:
            return
        try:
            text = str(data, "utf-8", "replace" if is_binary else "strict")
        except UnicodeDecodeError:
            log.warning("ws.bad_utf8", conn_id=self.conn_id, ip=self.ip, size_bytes=len(data))
            caller.close(1007, "invalid UTF-8")
            return
        caller.receive(text)

    # --- frames out ---------------------------------------------------------------------------

    def send_event(self, frame: bytes, *, droppable: bool) -> bool:
        """Queue an event; `False` when the client is too slow for it."""
        if self._transport is None or self._written_close:
            return False
        if not self._is_full:
            self.send(frame)
            return True
        if self._buffered + len(frame) > self.plane.limits.max_buffered_bytes:
            if not droppable:
                self._slow_consumer()
            return False
        self.send(frame)
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
        if self._caller is not None:
            self._caller.close(code, reason)
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

    def send(self, data: bytes) -> None:
        """Queue a text frame; it leaves with the others of this read or loop tick."""
        if self._written_close:
            return
        out = self._out
        out.append(text_header(len(data)))
        out.append(data)
        if not self._is_flush_due:
            self._is_flush_due = True
            self.plane.flush_soon(self)

    def end(self, close: Close) -> None:
        """Queue a close; nothing follows it."""
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
        if self._caller is not None:
            self._caller.hush()
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


def websocket_protocol(plane: ControlPlane) -> type[asyncio.Protocol]:
    """Return the class to give to `uvicorn.Config(ws=…)`."""
    return type("PorticoWebSocket", (GatewaySocket,), {"__slots__": (), "plane": plane})
