"""A client that costs little: enough of RFC 6455 and HTTP/1.1 to load a server on this machine.

It does what no real client may: it masks with zeros and checks nothing it does not need. The
server's side of the work is unchanged by that.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_LENGTH_16 = struct.Struct("!H")
_LENGTH_64 = struct.Struct("!Q")
_NO_MASK = b"\0\0\0\0"

OnMessage = Callable[[bytes], None]


def text_frame(payload: bytes) -> bytes:
    """Return a client's text frame."""
    length = len(payload)
    if length < 126:
        return b"\x81" + bytes((0x80 | length,)) + _NO_MASK + payload
    if length < 65_536:
        return b"\x81\xfe" + _LENGTH_16.pack(length) + _NO_MASK + payload
    return b"\x81\xff" + _LENGTH_64.pack(length) + _NO_MASK + payload


class WebSocket(asyncio.Protocol):
    """One connection; every text message goes to `on_message`."""

    __slots__ = ("_early", "_is_open", "_rest", "_transport", "_waiting", "closed", "on_message")

    def __init__(self) -> None:
        self._rest = b""
        self._early: deque[bytes] = deque()
        self._is_open = False
        self._transport: Any = None
        self._waiting: asyncio.Future[bytes] | None = None
        self.closed: str | None = None
        self.on_message: OnMessage = self._wake

    def connection_made(self, transport: Any) -> None:  # type: ignore[explicit-override]  # typing has it since 3.12
        """Ask for the upgrade."""
        self._transport = transport
        transport.write(UPGRADE)

    def data_received(self, data: bytes) -> None:  # type: ignore[explicit-override]  # typing has it since 3.12
        """Cut what came into messages."""
        if self._rest:
            data = self._rest + data
        if not self._is_open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            if b" 101 " not in head[:16]:
                raise ConnectionError(head.decode("latin-1"))
            self._is_open = True
            self._wake(b"")
        self._rest = self._cut(data)

    def _cut(self, data: bytes) -> bytes:
        start, total = 0, len(data)
        while total - start >= 2:
            length, body = data[start + 1], start + 2
            if length == 126:
                body += 2
                length = _LENGTH_16.unpack_from(data, start + 2)[0] if body <= total else total
            elif length == 127:
                body += 8
                length = _LENGTH_64.unpack_from(data, start + 2)[0] if body <= total else total
            if body + length > total:
                break
            opcode = data[start] & 0x0F
            if opcode == 1:
                self.on_message(data[body : body + length])
            elif opcode == 8:
                self.closed = data[body : body + length].decode("latin-1")
            elif opcode == 9:
                self._transport.write(b"\x8a\x80" + _NO_MASK)
            start = body + length
        return data[start:]

    def connection_lost(self, exc: Exception | None) -> None:  # type: ignore[explicit-override]  # typing has it since 3.12
        """Tell whoever waits."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError(f"closed: {self.closed}"))

    def _wake(self, message: bytes) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(message)
        else:
            self._early.append(message)

    async def next(self) -> bytes:
        """Return the next message (one at a time, before `on_message` is replaced)."""
        if self._early:
            return self._early.popleft()
        self._waiting = asyncio.get_running_loop().create_future()
        return await self._waiting

    def send(self, frames: bytes) -> None:
        """Write ready-made frames."""
        self._transport.write(frames)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


class Http(asyncio.Protocol):
    """One HTTP/1.1 connection that posts and waits, again and again."""

    __slots__ = ("_rest", "_transport", "_waiting")

    def __init__(self) -> None:
        self._rest = b""
        self._transport: Any = None
        self._waiting: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: Any) -> None:  # type: ignore[explicit-override]  # typing has it since 3.12
        """Keep the socket."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:  # type: ignore[explicit-override]  # typing has it since 3.12
        """Take an answer with a Content-Length."""
        data = self._rest + data
        head, end, body = data.partition(b"\r\n\r\n")
        self._rest = data
        if not end:
            return
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._rest = b""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            if b" 200 " not in head[:16]:
                waiting.set_exception(ConnectionError(data.decode("latin-1")[:600]))
            else:
                waiting.set_result(body)

    async def post(self, request: bytes) -> bytes:
        """Send one ready-made request and return the body of its answer."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def connection_lost(self, exc: Exception | None) -> None:  # type: ignore[explicit-override]  # typing has it since 3.12
        """Tell whoever waits."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("closed"))

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


class HttpStream(Http):
    """The same for answers that are streams of events."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:  # type: ignore[explicit-override]  # typing has it since 3.12
        """Take a chunked answer whose last event is `[DONE]`."""
        data = self._rest = self._rest + data
        refused = len(data) > 16 and b" 200 " not in data[:16]
        if not refused and not data.endswith(b"\r\n0\r\n\r\n"):
            return
        self._rest = b""
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.done():
            return
        if refused or b"data: [DONE]" not in data[-64:]:
            waiting.set_exception(ConnectionError(data.decode("latin-1")[-600:]))
        else:
            waiting.set_result(data)
