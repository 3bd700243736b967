"""A TCP proxy that misbehaves on demand: for faults no real server shows when asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Self


class Wire:
    """Passes bytes on between whoever connects and a server on this machine.

    Attributes:
        change: what becomes of what the server sends; only for unencrypted connections.
        opened: how many connections there have been.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.change: Callable[[bytes], bytes] = lambda data: data
        self.opened = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._silenced: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for pump in [*self._pumps]:
            pump.cancel()
        if self._pumps:
            await asyncio.wait(self._pumps)

    def cut(self) -> None:
        """Cut every connection."""
        for writer in [*self._writers]:
            writer.transport.abort()

    def go_silent(self) -> None:
        """Pass on nothing more on the connections there are; leave them open."""
        for pump in self._pumps:
            self._silenced.add(pump)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        try:
            there = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there[1]}
        self._start(reader, there[1], lambda data: data)
        self._start(there[0], writer, lambda data: self.change(data))

    def _start(self, reader: Any, writer: Any, change: Callable[[bytes], bytes]) -> None:
        pump = asyncio.ensure_future(self._pump(reader, writer, change))
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        change: Callable[[bytes], bytes],
    ) -> None:
        task = asyncio.current_task()
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if task not in self._silenced:
                    writer.write(change(data))
                    await writer.drain()
        self._writers.discard(writer)
        writer.close()
