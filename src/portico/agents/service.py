"""The agents of this gateway and the runtime of each."""

from __future__ import annotations

from dataclasses import dataclass

from portico.agents.runtime import AgentRuntime, Prepared
from portico.protocol.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Agent:
    """Somebody who answers.

    Attributes:
        model: `provider/model`, as configured; what the runtime makes of it is its business.
        timeout_s: the longest one of its runs may take.
    """

    agent_id: str
    runtime: AgentRuntime
    name: str | None = None
    emoji: str | None = None
    avatar: str | None = None
    workspace: str | None = None
    model: str | None = None
    timeout_s: float = 600.0


class Agents:
    """Looks agents up."""

    def __init__(self, agents: list[Agent], default_id: str) -> None:
        self._agents = {agent.agent_id: agent for agent in agents}
        self.default_id = default_id

    def list(self) -> list[Agent]:
        """Every agent, in configured order."""
        return [*self._agents.values()]

    def find(self, agent_id: str) -> Agent | None:
        """Return the agent, or `None`."""
        return self._agents.get(agent_id)

    def get(self, agent_id: str | None) -> Agent:
        """Return the agent, or the default one for `None`.

        Raises:
            InvalidRequest: there is no such agent.
        """
        agent = self._agents.get(agent_id or self.default_id)
        if agent is None:
            raise InvalidRequest(
                f'unknown agent id "{agent_id}"', details={"code": "UNKNOWN_AGENT_ID"}
            )
        return agent

    def runtime_for(self, agent_id: str) -> AgentRuntime:
        """Return an agent's runtime; sessions of an agent that is gone go to the default one."""
        agent = self._agents.get(agent_id) or self._agents[self.default_id]
        return agent.runtime

    async def warm_up(self) -> None:
        """Import what the agents' first answers need, in the background."""
        for agent in self._agents.values():
            if isinstance(agent.runtime, Prepared):
                await agent.runtime.warm_up()

    async def close(self) -> None:
        """Close what the runtimes hold."""
        for agent in self._agents.values():
            if isinstance(agent.runtime, Prepared):
                await agent.runtime.close()

    def timeout_s_for(self, agent_id: str) -> float:
        """Return how long one of the agent's runs may take."""
        agent = self._agents.get(agent_id) or self._agents[self.default_id]
        return agent.timeout_s
