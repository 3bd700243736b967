"""The way out of the browser, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from portico.browser.serving.guard import Guard
from portico.browser.settings import BrowserSettings
from portico.fetch import FetchRefused

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def guarded(**settings: Any) -> AsyncIterator[tuple[Guard, int, list[bytes]]]:
    """Return a guard, and the port of a server of this machine with what it was asked."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    guard = Guard(BrowserSettings(profile_dir="", token="t", **settings))
    await guard.start()
    async with server:
        yield guard, server.sockets[0].getsockname()[1], asked
        await guard.stop()


async def through(guard: Guard, text: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", guard.port)
    try:
        async with asyncio.timeout(30):
            writer.write(text.encode())
            return await reader.read()
    finally:
        writer.close()


async def test_plain_http_is_passed_on_without_what_is_for_proxies() -> None:
    async with guarded(private_hosts=("localhost",)) as (guard, port, asked):
        headers = f"Host: localhost:{port}\r\nProxy-Connection: keep-alive\r\nX-A: b\r\n\r\n"
        said = await through(guard, f"GET http://localhost:{port}/a?b=c HTTP/1.1\r\n{headers}")
        assert said.endswith(b"hi")
    (head,) = asked
    assert head.startswith(b"GET /a?b=c HTTP/1.1\r\nHost: localhost:")
    assert b"Proxy-Connection" not in head
    assert b"X-A: b\r\nConnection: close\r\n\r\n" in head


async def test_a_tunnel_is_opened() -> None:
    async with guarded(private_hosts=("localhost",)) as (guard, port, asked):
        asking = f"CONNECT localhost:{port} HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"
        said = await through(guard, asking)
    assert said.startswith(b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK")
    assert asked == [b"GET / HTTP/1.1\r\n\r\n"]


@pytest.mark.parametrize("how", ["CONNECT {0}:{1} HTTP/1.1", "GET http://{0}:{1}/ HTTP/1.1"])
async def test_what_is_inside_is_refused(how: str) -> None:
    inside = (
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
    )
    async with guarded(private_hosts=("other.example",)) as (guard, port, asked):
        for host in inside:
            said = await through(guard, how.format(host, port) + "\r\n\r\n")
            assert said.startswith(b"HTTP/1.1 403 Forbidden\r\nx-portico-refused: "), host
        assert guard.why_not("LOCALHOST") == "the url leads to an address that is not public"
        assert guard.why_not("nobody.example") is None
        with pytest.raises(FetchRefused, match="not public"):
            await guard.check("10.0.0.1", 80)
    assert asked == []


@pytest.mark.parametrize(
    "line",
    [
        "GET / HTTP/1.1",
        "GET https://localhost/ HTTP/1.1",
        "GET http://user@localhost/ HTTP/1.1",
        "GET http://localhost:99999/ HTTP/1.1",
        "CONNECT localhost HTTP/1.1",
        "CONNECT :80 HTTP/1.1",
        "nonsense",
    ],
)
async def test_what_is_not_for_a_proxy(line: str) -> None:
    async with guarded(allow_private=True) as (guard, _port, asked):
        assert (await through(guard, f"{line}\r\n\r\n")).startswith(b"HTTP/1.1 400")
    assert asked == []


async def test_a_head_without_an_end_is_not_kept() -> None:
    async with guarded(allow_private=True) as (guard, _port, _asked):
        assert await through(guard, "GET http://localhost/ HTTP/1.1\r\nX: " + "x" * 100_000) == b""
