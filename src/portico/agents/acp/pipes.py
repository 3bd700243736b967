"""JSON-RPC messages over a program's pipes: the transport of the `acp` library's connection.

Guarantees: what comes out are objects the connection can take: anything else is counted and passed
over; too much of it, or a line without end, ends the stream. Nothing here raises: a broken pipe is
the end of the stream. The reader yields to the loop, and waits when what it read is not taken.

Source: Agent Client Protocol, "Transports" (stdio); JSON-RPC 2.0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

MAX_LINE_BYTES = 8_388_608
MAX_JUNK_LINES = 1_000
SEND_S = 30.0
YIELD_EVERY = 32


def _nothing() -> None:
    return None


async def _at_once() -> None:
    return None


class Pipes:
    """Both directions.

    Attributes:
        trouble: why the stream was ended by us; `None`: the program ended it.
        broken: called when it was.
        heard: called for every message.
        room: awaited before the next message is read.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._junk = 0
        self._read = 0
        self.trouble: str | None = None
        self.is_open = True
        self.heard: Callable[[], None] = _nothing
        self.broken: Callable[[], None] = _nothing
        self.room: Callable[[], Awaitable[None]] = _at_once

    async def send(self, message: dict[str, Any]) -> None:
        """Write a message; when the program does not take it, the stream is at its end."""
        if not self.is_open:
            return
        try:
            self._writer.write(msgspec.json.encode(message) + b"\n")
            async with asyncio.timeout(SEND_S):
                await self._writer.drain()
        except TimeoutError:
            self._end("it does not read what it is sent")
        except (OSError, RuntimeError):
            self._end(None)

    async def receive(self) -> dict[str, Any] | None:
        """Return the next message; `None`: there are no more."""
        while self.is_open:
            await self.room()
            self._read += 1
            if self._read % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            line = await self._line()
            if line is None:
                break
            message = _message(line)
            if message is not None:
                self._junk = 0
                self.heard()
                return message
            self._junk += 1
            if self._junk > MAX_JUNK_LINES:
                self._end("it writes what is not the protocol")
        self.is_open = False
        return None

    def stop(self, trouble: str) -> None:
        """End the stream: the program is not fit to be listened to."""
        self._end(trouble)

    async def close(self) -> None:
        """Nothing is sent or taken any more; the pipes belong to the program."""
        self.is_open = False

    async def _line(self) -> bytes | None:
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            return end.partial or None
        except asyncio.LimitOverrunError:
            self._end(f"it wrote a line of more than {MAX_LINE_BYTES} bytes")
        except OSError:
            self._end(None)
        return None

    def _end(self, trouble: str | None) -> None:
        self.trouble = self.trouble or trouble
        self.is_open = False
        self.broken()


def _message(line: bytes) -> dict[str, Any] | None:
    """Return a line's JSON-RPC message, made safe for who takes it; `None`: it is none."""
    try:
        message = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("id"), str | int | None):
        return None
    if "method" in message and not isinstance(message["method"], str):
        return None
    if "method" not in message and "id" not in message:
        return None
    if not isinstance(message.get("error", {}), dict):
        message["error"] = {"message": str(message["error"])[:500]}
    return message
