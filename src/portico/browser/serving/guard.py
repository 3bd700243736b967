"""The way out of the browser: a proxy that leads to public addresses only.

Theory of operation: Chromium is told to use this proxy for everything, this machine included. It
names hosts and never looks them up itself. Each name is looked up here, every address must be a
public one, and the connection goes to the address that was checked. So pages, what they load, where
they redirect to and their WebSockets all pass the same check, and a second look-up changes nothing.

Guarantees: those of `portico.fetch` for addresses; a bounded head, bounded waiting.

Source: RFC 9110, 9.3.6 (CONNECT); RFC 9112, 3.2.2 (absolute-form).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from urllib.parse import SplitResult, urlsplit

from portico.browser.settings import BrowserSettings
from portico.fetch import FetchRefused, is_public, resolve_host

HEAD_BYTES = 65_536
CONNECT_S = 15.0
IDLE_S = 300.0
CHUNK = 65_536
REFUSED_HEADER = "x-portico-refused"
_DROPPED = (b"proxy-connection:", b"connection:", b"proxy-authorization:", b"keep-alive:")


class Guard:
    """The proxy."""

    def __init__(self, settings: BrowserSettings) -> None:
        self._settings = settings
        self._server: asyncio.Server | None = None
        self.port = 0
        self._refused: deque[tuple[str, str]] = deque(maxlen=64)

    async def start(self) -> None:
        """Listen on a free port of this machine."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def why_not(self, host: str) -> str | None:
        """Return why a host was refused a moment ago; `None`: it was not."""
        return next((why for name, why in reversed(self._refused) if name == host.lower()), None)

    async def check(self, host: str, port: int) -> str:
        """Return the address a host may be reached at.

        Raises:
            FetchRefused: it may not.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                addresses = await resolve_host(host, port)
        except (OSError, TimeoutError, UnicodeError):
            raise FetchRefused("the url's host is not known") from None
        if not addresses:
            raise FetchRefused("the url's host is not known")
        if not self._may_be_private(host) and not all(map(is_public, addresses)):
            raise FetchRefused("the url leads to an address that is not public")
        return addresses[0]

    def _may_be_private(self, host: str) -> bool:
        name = host.lower().rstrip(".")
        hosts = [one.lower() for one in self._settings.private_hosts]
        return self._settings.allow_private or any(
            name == one or name.endswith(f".{one}") for one in hosts
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                head = await reader.readuntil(b"\r\n\r\n")
            await self._lead(head, reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _lead(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        line, _, rest = head.partition(b"\r\n")
        method, _, target = line.decode("latin-1").partition(" ")
        target = target.rpartition(" ")[0]
        place = _place(method, target)
        if place is None:
            await _refuse(writer, "400 Bad Request", "not a request to a proxy")
            return
        host, port, parts = place
        try:
            address = await self.check(host, port)
        except FetchRefused as error:
            self._refused.append((host.lower(), str(error)))
            await _refuse(writer, "403 Forbidden", str(error))
            return
        try:
            async with asyncio.timeout(CONNECT_S):
                far_reader, far_writer = await asyncio.open_connection(address, port)
        except (OSError, TimeoutError):
            await _refuse(writer, "502 Bad Gateway", "the host does not answer")
            return
        if parts is None:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            far_writer.write(_forwarded(method, parts, rest))
        await _join(reader, writer, far_reader, far_writer)


def _place(method: str, target: str) -> tuple[str, int, SplitResult | None] | None:
    """Return host and port, and for plain HTTP what is asked for there."""
    is_tunnel = method == "CONNECT"
    try:
        parts = urlsplit(f"//{target}" if is_tunnel else target)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if is_tunnel:
        return (host, port, None) if host and port else None
    if parts.scheme != "http" or parts.username is not None or not host:
        return None
    return host, port or 80, parts


def _forwarded(method: str, parts: SplitResult, headers: bytes) -> bytes:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kept = [
        line
        for line in headers.rstrip(b"\r\n").split(b"\r\n")
        if not line.lower().startswith(_DROPPED)
    ]
    head = b"\r\n".join([f"{method} {path} HTTP/1.1".encode("latin-1"), *kept])
    return head + b"\r\nConnection: close\r\n\r\n"


async def _refuse(writer: asyncio.StreamWriter, status: str, why: str) -> None:
    body = f"{why}\n".encode()
    writer.write(
        f"HTTP/1.1 {status}\r\n{REFUSED_HEADER}: {why}\r\ncontent-type: text/plain\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode("latin-1")
        + body
    )
    with contextlib.suppress(OSError):
        await writer.drain()


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    try:
        await asyncio.gather(_pour(reader, far_writer), _pour(far_reader, writer))
    finally:
        far_writer.close()


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while True:
            async with asyncio.timeout(IDLE_S):
                chunk = await source.read(CHUNK)
            if not chunk:
                break
            sink.write(chunk)
            await sink.drain()
    except (OSError, TimeoutError):
        pass
    finally:
        with contextlib.suppress(OSError, RuntimeError):
            if sink.can_write_eof():
                sink.write_eof()
