"""Every configured MCP server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from portico.agents.mcp.connection import McpConnection
from portico.agents.mcp.model import McpServer, McpStatus
from portico.agents.tools.contract import Tool
from portico.tasks import Tasks


class McpServers:
    """A source of tools: those of all servers."""

    def __init__(self, servers: Sequence[McpServer], *, tasks: Tasks) -> None:
        self._connections = tuple(McpConnection(server) for server in servers)
        self._tasks = tasks

    def start(self) -> None:
        """Connect to each, in the background; ended with the gateway's other tasks."""
        for connection in self._connections:
            self._tasks.start(connection.serve(), name=f"mcp:{connection.server.name}")

    async def tools(self) -> list[Tool]:
        """Return the tools of those that are connected."""
        found = await asyncio.gather(*(connection.tools() for connection in self._connections))
        return [tool for tools in found for tool in tools]

    def status(self) -> tuple[McpStatus, ...]:
        """Return what is known of each."""
        return tuple(connection.status() for connection in self._connections)
