"""A cable between a channel and its provider that can be pulled out, and plugged in again.

    async with Cable(provider_port) as cable:
        cable.url             # in place of the provider's
        await cable.pull()    # connections die, new ones are refused
        await cable.plug()    # the same port again

What happens to bytes under way is what happens to them in a network: nobody knows.
"""

from __future__ import annotations

import asyncio
from typing import Self

CHUNK_BYTES = 64 * 1024


class Cable:
    """A port of this machine that leads to another one."""

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self._to_port = to_port
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.plug()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pull()

    async def plug(self) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def pull(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self.cut()

    async def cut(self) -> None:
        """Break every connection; new ones are welcome while it is plugged in."""
        pumps = [*self._pumps]
        for pump in pumps:
            pump.cancel()
        if pumps:
            await asyncio.wait(pumps)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        assert this is not None
        self._pumps.add(this)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
            try:
                ways = {
                    asyncio.ensure_future(_pump(reader, far_writer)),
                    asyncio.ensure_future(_pump(far_reader, writer)),
                }
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.wait(ways)
            finally:
                far_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass  # the far side is not there, or it was cut
        finally:
            writer.transport.abort()
            self._pumps.discard(this)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while some := await reader.read(CHUNK_BYTES):
            writer.write(some)
            await writer.drain()
        await writer.drain()
    except OSError:
        pass  # one of the two is gone
