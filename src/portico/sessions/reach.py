"""Which sessions an agent's tools reach.

Theory of operation: `self` is the session the agent is in, `tree` also those begun from it, `agent`
all of its own, `all` those of other agents too, where these may be reached at all. Whatever is
configured, a turn that has read untrusted text reaches only the session it is in.

Guarantees: a session that is not reached and one that does not exist are answered alike.

Source: OpenClaw configuration reference, `tools.sessions.visibility` and `tools.agentToAgent`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from portico.agents.tools.contract import ToolCall, ToolError
from portico.protocol import keys
from portico.protocol.errors import InvalidRequest
from portico.sessions.model import Session
from portico.sessions.service import Sessions

Visibility = Literal["self", "tree", "agent", "all"]
MOST_GENERATIONS = 8
PARENT = "parentSessionKey"


@dataclass(frozen=True, slots=True)
class ReachRules:
    """What is configured.

    Attributes:
        agent_to_agent: whether other agents may be reached, where visibility is `all`.
        agents: which; patterns. Empty: all.
    """

    visibility: Visibility = "agent"
    agent_to_agent: bool = False
    agents: tuple[str, ...] = ()

    def of(self, call: ToolCall) -> Visibility:
        """Return what counts for a call."""
        return "self" if call.is_untrusted else self.visibility

    def reaches_agent(self, call: ToolCall, agent_id: str) -> bool:
        """Whether sessions of an agent may be reached at all."""
        if agent_id == call.agent_id:
            return True
        if self.of(call) != "all" or not self.agent_to_agent:
            return False
        return all(_is_among(name, self.agents) for name in (agent_id, call.agent_id))


def _is_among(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


class Reach:
    """Finds sessions for tools."""

    def __init__(self, sessions: Sessions, rules: ReachRules) -> None:
        self._sessions = sessions
        self.rules = rules

    async def find(self, call: ToolCall, given: str | None) -> Session:
        """Return the session a tool's argument means: a key or a session id; none: its own.

        Raises:
            ToolError: there is none, or it is not reached.
        """
        session = await self._named(call, given or call.session_key)
        if session is None or not await self.includes(call, session):
            raise out_of_reach(given or call.session_key)
        return session

    async def includes(self, call: ToolCall, session: Session) -> bool:
        """Whether a session is reached."""
        if session.key == call.session_key:
            return True
        if not self.rules.reaches_agent(call, session.agent_id):
            return False
        visibility = self.rules.of(call)
        if visibility == "tree":
            return await self._descends(session, call.session_key)
        return visibility in {"agent", "all"}

    async def _named(self, call: ToolCall, given: str) -> Session | None:
        try:
            key = keys.canonical(
                given, default_agent=call.agent_id, main_key=self._sessions.main_key
            )
        except InvalidRequest:
            return None
        found = await self._sessions.find(key)
        return found or await self._sessions.find_by_session_id(given)

    async def _descends(self, session: Session, ancestor: str) -> bool:
        at: Session | None = session
        for _ in range(MOST_GENERATIONS):
            parent = None if at is None else at.settings.get(PARENT)
            if not isinstance(parent, str):
                return False
            if parent == ancestor:
                return True
            at = await self._sessions.find(parent)
        return False


def out_of_reach(given: str) -> ToolError:
    """Return what a tool answers for a session that is not reached, or not there."""
    return ToolError(f'There is no session "{given[:200]}" that this agent can reach.')
