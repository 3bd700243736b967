"""The tools that approved nodes publish, as tools of agents.

Guarantees: there are none unless the configuration says so; a tool does only what a command does
that the node was approved for and agents may use; its description and its answers are text from
outside, so a turn that has read such text is not offered it.

Source: OpenClaw gateway protocol, "node.pluginTools.update".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from portico.agents.tools.contract import Tool, ToolCall, ToolError, ToolOutput
from portico.nodes import policy
from portico.nodes.invoking import Order
from portico.nodes.service import Nodes
from portico.nodes.session import Session
from portico.nodes.shown import bounded
from portico.protocol.errors import GatewayError

MAX_DESCRIPTION = 1_000
MAX_NAME_CHARS = 64
CALL_S = 120.0
MCP_CALL = "mcp.tools.call.v1"
_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_-]+")


class PublishedTools:
    """A source of tools: those of all connected nodes."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    async def tools(self) -> list[Tool]:
        """Return what is published now and may be used."""
        settings = self._nodes.settings()
        if not settings.publishes_tools:
            return []
        found: dict[str, Tool] = {}
        for session in self._nodes.connections.sessions():
            usable = session.usable(settings.rules)
            for given in session.tools:
                command = _command(given)
                if command in usable and not policy.is_closed_to_agents(command, for_tool=True):
                    tool = self._tool(session, given, command)
                    found.setdefault(tool.name, tool)
        return [*found.values()]

    def _tool(self, session: Session, given: Mapping[str, Any], command: str) -> Tool:
        where = _NOT_A_NAME.sub("-", session.row.shown_name)[:20].strip("-") or "node"
        return Tool(
            name=f"{where}__{given['name']}"[:MAX_NAME_CHARS],
            description=str(given["description"])[:MAX_DESCRIPTION],
            run=partial(self._run, session.node_id, command, given),
            parameters=given.get("parameters") or {"type": "object"},
            group="nodes",
            is_untrusted=True,
            timeout_s=CALL_S,
            source=f"node:{session.node_id}",
        )

    async def _run(
        self,
        node_id: str,
        command: str,
        given: Mapping[str, Any],
        call: ToolCall,
        args: Mapping[str, Any],
    ) -> ToolOutput:
        mcp, params = given.get("mcp"), dict(args)
        if mcp is not None:
            params = {"server": mcp["server"], "tool": mcp["tool"], "arguments": params}
        order = Order(
            command=command,
            params=params,
            subject=f"agent:{call.agent_id}",
            session_key=call.session_key,
            timeout_ms=int(CALL_S * 1000),
            heard=lambda _invoke_id, piece: call.say(piece.chunk),
        )
        try:
            answer = await self._nodes.invoke(node_id, order)
        except GatewayError as error:
            raise ToolError(error.message) from error
        return ToolOutput(bounded(answer.payload))


def _command(given: Mapping[str, Any]) -> str:
    return MCP_CALL if given.get("mcp") is not None else str(given.get("command") or "")
