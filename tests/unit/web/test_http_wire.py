"""What an HTTP connection takes from a client that means no good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from portico.web.http_wire import MAX_HEAD_BYTES, http_protocol
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio
PATIENCE_S = 30.0


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    size = 0
    if scope["path"] != "/unread":
        size = sum([len(chunk) async for chunk in Request(scope, receive).stream()])
    await PlainTextResponse(f"{size} bytes")(scope, receive, send)


@asynccontextmanager
async def _served(head_timeout_s: float) -> AsyncIterator[tuple[int, Collection[object]]]:
    config = uvicorn.Config(
        _app,
        http=http_protocol(lambda: head_timeout_s),
        ws="none",
        loop="none",
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    sock = listening.sockets[0].dup()
    listening.close()
    sock.listen()
    await server.startup(sockets=[sock])
    try:
        yield sock.getsockname()[1], server.server_state.connections
    finally:
        server.should_exit = server.force_exit = True
        await server.shutdown(sockets=[sock])


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: here\r\nx-slow: ", id="half a head"),
        pytest.param(
            b"GET / HTTP/1.1\r\nhost: here\r\n\r\nGET / HTTP/1.1\r\nx-slow: ", id="half a second"
        ),
        pytest.param(
            b"POST /unread HTTP/1.1\r\nhost: here\r\ncontent-length: 1000\r\n\r\nx", id="no end"
        ),
    ],
)
async def test_whoever_does_not_come_to_an_end_is_cut(said: bytes):
    async with _served(0.05) as (port, connections):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        async with asyncio.timeout(PATIENCE_S):
            try:
                while await reader.read(4096):
                    continue
            except ConnectionResetError:
                pass
        await eventually(lambda: not connections)
        writer.close()


async def test_a_head_is_kept_no_longer_than_its_limit():
    async with _served(PATIENCE_S) as (port, connections):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: here\r\nx-long: ")
        writer.write(b"a" * MAX_HEAD_BYTES)
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 431 ")
        await eventually(lambda: not connections)
        writer.close()


async def test_a_large_body_is_taken_and_one_nobody_reads_is_let_pass():
    body = b"b" * (MAX_HEAD_BYTES * 8)
    head = b"POST %s HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n\r\n"
    async with _served(PATIENCE_S) as (port, _), asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for path, size in ((b"/", len(body)), (b"/unread", 0), (b"/", len(body))):
            writer.write(head % (path, len(body)) + body)
            answer = await reader.readuntil(b" bytes")
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"\r\n%d bytes" % size)
        writer.close()
