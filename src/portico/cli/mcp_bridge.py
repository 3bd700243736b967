"""An MCP server on standard input and output that is the gateway's `/mcp`.

Importing this imports the `mcp` library.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

import httpx2
import mcp_types as types
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server

from portico import __version__

CALL_TIMEOUT_S = 300.0
CONNECT_TIMEOUT_S = 10.0


class Unreachable(Exception):
    """The gateway does not serve MCP; the text says what it answered."""


async def bridge(url: str, *, headers: Mapping[str, str], tls: ssl.SSLContext | None) -> None:
    """Pass requests on until standard input ends.

    Raises:
        Unreachable: nothing at the address speaks MCP.
    """
    timeout = httpx2.Timeout(CONNECT_TIMEOUT_S, read=CALL_TIMEOUT_S)
    verify = tls if tls is not None else True
    async with httpx2.AsyncClient(
        headers=dict(headers), timeout=timeout, verify=verify, trust_env=False
    ) as http:
        await _knock(http, url)
        async with Client(streamable_http_client(url, http_client=http), cache=None) as gateway:
            await _serve(gateway)


async def _knock(http: httpx2.AsyncClient, url: str) -> None:
    ping = {"jsonrpc": "2.0", "id": 0, "method": "ping"}
    try:
        answer = await http.post(
            url, json=ping, headers={"accept": "application/json, text/event-stream"}
        )
    except httpx2.HTTPError as error:
        raise Unreachable(f"{type(error).__name__}") from error
    if answer.status_code in {401, 403, 404}:
        raise Unreachable(f"HTTP {answer.status_code}")


async def _serve(gateway: Client) -> None:
    async def listed(
        _context: Any, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return await gateway.list_tools(cursor=params.cursor if params else None)

    async def called(_context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        return await gateway.call_tool(params.name, params.arguments)

    server: Server[Any] = Server(
        "portico", version=__version__, on_list_tools=listed, on_call_tool=called
    )
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
