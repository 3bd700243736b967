"""Somebody who is called: an HTTP server that keeps what it is sent and answers as planned.

    async with Receiver(Answer(503, retry_after="1"), Answer(200)) as receiver:
        ...receiver.url, receiver.calls

When the plan is empty it answers 200. Used for webhooks and for services of our own kind.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass
class Answer:
    """One planned answer; without a status the connection breaks off, `mute`: nothing comes."""

    status: int | None = 200
    body: bytes | str = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    mute: bool = False


@dataclass
class Called:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """The server."""

    def __init__(self, *plan: Answer) -> None:
        self.calls: list[Called] = []
        self._plan = deque(plan)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    def plan(self, *answers: Answer) -> None:
        self._plan.extend(answers)

    def answer(self, called: Called) -> Answer:
        """What is answered when nothing is planned."""
        return Answer()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._exchange(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, path, _ = head[0].split(" ")
        self.calls.append(Called(method, path, headers, body))
        answer = self._plan.popleft() if self._plan else self.answer(self.calls[-1])
        if answer.mute:
            await reader.read()  # until the caller goes away
            return
        if answer.status is None:
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return
        content = answer.body.encode() if isinstance(answer.body, str) else answer.body
        more = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        writer.write(
            f"HTTP/1.1 {answer.status} Planned\r\n{more}"
            f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode()
            + content
        )
        await writer.drain()
