"""The wire between a gateway and its successor: a socket pair, one JSON object a line.

    successor to predecessor   hello, ready, failed
    predecessor to successor   go, event, stop

Guarantees: `read` ends when the other process has ended, however it ended; saying something to a
process that is gone does nothing; what is not read in time is dropped beyond `MAX_UNSENT` bytes
(events are a convenience: the rows say what happened).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

MAX_LINE: Final = 16 << 20
MAX_UNSENT: Final = 32 << 20


class Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line.

    Attributes:
        say: hello, ready, failed, go, event or stop.
        owner: the name in its leases of the process that says hello.
        reason: why it failed.
        event: what is forwarded.
    """

    say: str
    pid: int = 0
    owner: str = ""
    version: str = ""
    reason: str = ""
    event: msgspec.Raw = msgspec.Raw(b"")


class Link:
    """One end of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Link:
        """Use one end of the pair."""
        end.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=end, limit=MAX_LINE)
        return cls(reader, writer)

    def say(self, word: Word) -> None:
        """Queue a line."""
        transport = self._writer.transport
        if transport.is_closing() or transport.get_write_buffer_size() > MAX_UNSENT:
            return
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write(msgspec.json.encode(word) + b"\n")

    def forward(self, event: Any) -> None:
        """Queue an event; one that JSON cannot say is not forwarded."""
        with contextlib.suppress(TypeError, ValueError):
            self.say(Word("event", event=msgspec.Raw(msgspec.json.encode(event))))

    async def words(self) -> AsyncIterator[Word]:
        """Yield what the other end says until it is gone."""
        while True:
            try:
                line = await self._reader.readline()
            except (OSError, ValueError):
                return
            if not line:
                return
            with contextlib.suppress(msgspec.MsgspecError):
                yield msgspec.json.decode(line, type=Word)

    async def close(self) -> None:
        """Send what is queued and close this end."""
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self._writer.wait_closed()
