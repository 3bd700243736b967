"""Opening an MCP client: a program's pipes, or HTTP. Importing this imports the `mcp` library.

Source: Model Context Protocol, "Transports".
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation, ToolListChangedNotification

from portico import __version__
from portico.agents.mcp.model import McpServer

MAX_PAGES = 50


@asynccontextmanager
async def connected(server: McpServer, *, on_change: Callable[[], None]) -> AsyncIterator[Client]:
    """Open a client; it is closed, and a program ended, when the context is left.

    Args:
        on_change: called when the server says that its tools have changed.
    """

    async def noted(message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            on_change()

    async with AsyncExitStack() as stack:
        transport = await _transport(server, stack)
        client = Client(
            transport,
            client_info=Implementation(name="portico", version=__version__),
            read_timeout_seconds=server.call_timeout_s,
            message_handler=noted,
            cache=None,
        )
        yield await stack.enter_async_context(client)


async def _transport(server: McpServer, stack: AsyncExitStack) -> Any:
    if server.url is None:
        program, *arguments = server.command
        parameters = StdioServerParameters(
            command=program, args=arguments, env=dict(server.env), cwd=server.cwd
        )
        return stdio_client(parameters, errlog=stack.enter_context(_nowhere()))
    if server.transport == "sse":
        return sse_client(
            server.url,
            headers=dict(server.headers),
            timeout=server.connect_timeout_s,
            httpx_client_factory=_http,
        )
    timeout = httpx2.Timeout(server.connect_timeout_s, read=server.call_timeout_s)
    http = await stack.enter_async_context(_http(dict(server.headers), timeout))
    return streamable_http_client(server.url, http_client=http)


def _http(
    headers: dict[str, str] | None = None,
    timeout: httpx2.Timeout | None = None,
    auth: httpx2.Auth | None = None,
) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(headers=headers, timeout=timeout, auth=auth, trust_env=False)


def _nowhere() -> TextIO:
    """Where goes what a program writes beside the protocol: it may hold secrets."""
    return Path(os.devnull).open("w", encoding="utf-8")


async def every_tool(client: Client) -> list[Any]:
    """Return the server's tools, all pages of them (at most fifty)."""
    found: list[Any] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if cursor is None:
            break
    return found
