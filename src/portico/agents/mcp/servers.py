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
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._is_started = False

    def start(self) -> None:
        """Connect to each, in the background; ended with the gateway's other tasks."""
        self._is_started = True
        self._serve()

    def apply(self, servers: Sequence[McpServer]) -> None:
        """Follow a changed configuration: only servers that changed are connected anew."""
        known = {connection.server.name: connection for connection in self._connections}
        kept = {name: one for name, one in known.items() if one.server in servers}
        for name in known.keys() - kept.keys():
            if (task := self._serving.pop(name, None)) is not None:
                task.cancel()
        self._connections = tuple(
            kept.get(server.name) or McpConnection(server) for server in servers
        )
        if self._is_started:
            self._serve()

    def _serve(self) -> None:
        for connection in self._connections:
            name = connection.server.name
            if name not in self._serving:
                self._serving[name] = self._tasks.start(connection.serve(), name=f"mcp:{name}")

    async def tools(self) -> list[Tool]:
        """Return the tools of those that are connected."""
        found = await asyncio.gather(*(connection.tools() for connection in self._connections))
        return [tool for tools in found for tool in tools]

    def status(self) -> tuple[McpStatus, ...]:
        """Return what is known of each."""
        return tuple(connection.status() for connection in self._connections)
