"""RPC methods on MCP servers. `mcp.servers` is ours; OpenClaw shows them on its pages only."""

from __future__ import annotations

import msgspec

from portico.agents.mcp.servers import McpServers
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Result
from portico.rpc.call import Call
from portico.rpc.method import method


class McpServerShown(Result, frozen=True, kw_only=True):
    """One server."""

    name: str
    state: str
    tools: tuple[str, ...] = msgspec.field()
    server: str | None = None
    problem: str | None = None


class McpListed(Result, frozen=True, kw_only=True):
    """Every configured server."""

    servers: tuple[McpServerShown, ...] = msgspec.field()


class McpMethods:
    """What operators may know of the MCP servers."""

    def __init__(self, servers: McpServers) -> None:
        self._servers = servers

    @method("mcp.servers", scope=Scope.READ)
    def list(self, call: Call, params: Empty) -> McpListed:
        """List the MCP servers with their state and tools."""
        return McpListed(
            servers=tuple(
                McpServerShown(
                    name=s.name, state=s.state, tools=s.tools, server=s.server, problem=s.problem
                )
                for s in self._servers.status()
            )
        )
