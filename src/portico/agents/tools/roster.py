"""The tool that shows an agent which other agents there are."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from portico.agents.service import Agents
from portico.agents.tools.contract import ToolArgs, ToolCall, tool


class AgentsList(ToolArgs, frozen=True):
    """What `agents_list` takes: nothing."""


class AgentShown(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One agent.

    Attributes:
        is_reachable: the asking agent may write to it with `sessions_send`.
    """

    id: str
    name: str | None = None
    model: str | None = None
    is_default: bool = False
    is_reachable: bool = msgspec.field(name="reachable")


class RosterTools:
    """`agents_list`."""

    def __init__(self, agents: Agents, *, reaches: Callable[[ToolCall, str], bool]) -> None:
        self._agents = agents
        self._reaches = reaches

    @tool("agents_list", group="sessions", changes=False)
    async def list_agents(self, call: ToolCall, args: AgentsList) -> dict[str, object]:
        """List the agents of this gateway, and whom of them this one can write to."""
        return {
            "requester": call.agent_id,
            "agents": [
                AgentShown(
                    id=agent.agent_id,
                    name=agent.name,
                    model=agent.model,
                    is_default=agent.agent_id == self._agents.default_id,
                    is_reachable=self._reaches(call, agent.agent_id),
                )
                for agent in self._agents.list()
            ],
        }
