"""The agents of this gateway, the runtime of each, and which of them answers what.

Guarantees: the roster is replaced as a whole, between two steps of the event loop. A turn keeps the
runtime it began with; a runtime no agent has any more is closed once its last turn has ended. An
agent that is gone answers nothing: what still waits for it fails and says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from portico.agents.bindings import Binding, route
from portico.agents.model.catalog import Catalog
from portico.agents.model.runtime import Models
from portico.agents.runtime import Abilities, AgentEvent, AgentRuntime, Failed, Prepared, Turn
from portico.channels.model import InboundMessage
from portico.protocol import keys
from portico.protocol.errors import InvalidRequest
from portico.tasks import Tasks

log = structlog.get_logger()

RuntimeSource = Literal["agent", "defaults", "model", "implicit"]


@dataclass(frozen=True, slots=True)
class Agent:
    """Somebody who answers.

    Attributes:
        avatar: an address, or a path in the workspace.
        workspace: its directory, which need not exist.
        model: `provider/model`, as configured; what the runtime makes of it is its business.
        fallbacks: who is asked when the model cannot answer.
        thinking: how long models think, unless a session says otherwise.
        runtime_source: where its runtime was chosen.
        timeout_s: the longest one of its runs may take.
        made_from: what its runtime was made from; an equal value needs no other runtime.
    """

    agent_id: str
    runtime: AgentRuntime
    name: str | None = None
    emoji: str | None = None
    avatar: str | None = None
    theme: str | None = None
    workspace: str | None = None
    model: str | None = None
    fallbacks: tuple[str, ...] = ()
    thinking: str | None = None
    runtime_source: RuntimeSource = "implicit"
    timeout_s: float = 600.0
    made_from: object = None


@dataclass(frozen=True, slots=True)
class Roster:
    """Every agent, and what is shared by them.

    Attributes:
        default_id: who answers when nobody is named.
        bindings: who answers what comes in through channels.
        models: the language models; `None`: there are none.
    """

    agents: tuple[Agent, ...]
    default_id: str
    bindings: tuple[Binding, ...] = ()
    models: Models | None = None


class Agents:
    """Looks agents up.

    Args:
        tasks: where runtimes that come and go are warmed up and closed; needed by `replace`.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        default_id: str,
        *,
        tasks: Tasks | None = None,
    ) -> None:
        self._take(Roster(tuple(agents), default_id))
        self._tasks = tasks
        self._held: Counter[int] = Counter()  # by runtime: its users
        self._retired: dict[int, AgentRuntime] = {}

    @classmethod
    def of(cls, roster: Roster, *, tasks: Tasks) -> Agents:
        """Make the agents of a roster, which may be replaced."""
        made = cls(roster.agents, roster.default_id, tasks=tasks)
        made._take(roster)
        return made

    @property
    def roster(self) -> Roster:
        """Everything that counts now."""
        return self._roster

    @property
    def default_id(self) -> str:
        """Who answers when nobody is named."""
        return self._roster.default_id

    @property
    def catalog(self) -> Catalog:
        """The models agents may use."""
        models = self._roster.models
        return Catalog(()) if models is None else models.catalog

    def list(self) -> list[Agent]:
        """Every agent, in configured order."""
        return [*self._roster.agents]

    def find(self, agent_id: str) -> Agent | None:
        """Return the agent, or `None`."""
        return self._by_id.get(agent_id)

    def get(self, agent_id: str | None) -> Agent:
        """Return the agent, or the default one for `None`.

        Raises:
            InvalidRequest: there is no such agent.
        """
        agent = self._by_id.get(agent_id or self.default_id)
        if agent is None:
            raise InvalidRequest(
                f'unknown agent id "{agent_id}"', details={"code": "UNKNOWN_AGENT_ID"}
            )
        return agent

    def meant(self, agent_id: str | None, session_key: str | None, *, main_key: str) -> Agent:
        """Return the agent a call means: the named one, the session's, or the default one.

        Raises:
            InvalidRequest: there is no such agent, or the key is malformed.
        """
        if agent_id is not None:
            return self.get(keys.normalize_agent_id(agent_id))
        if not session_key:
            return self.get(None)
        default = self.default_id
        key = keys.canonical(session_key, default_agent=default, main_key=main_key)
        return self.get(keys.agent_of(key, default_agent=default))

    def route(self, message: InboundMessage) -> str:
        """Return the id of the agent that answers a message from a channel."""
        return route(self._roster.bindings, message, default=self.default_id)

    def runtime_for(self, agent_id: str) -> AgentRuntime:
        """Return an agent's runtime; of an agent that is gone one that only says so."""
        agent = self._by_id.get(agent_id)
        return GoneRuntime(agent_id) if agent is None else agent.runtime

    def timeout_s_for(self, agent_id: str) -> float:
        """Return how long one of the agent's runs may take."""
        agent = self._by_id.get(agent_id) or self._by_id[self.default_id]
        return agent.timeout_s

    # -- life ------------------------------------------------------------------------------------

    def hold(self, runtime: AgentRuntime) -> Callable[[], None]:
        """Keep a runtime open while it is used; call what is returned when it no longer is."""
        self._held[id(runtime)] += 1
        is_held = True

        def release() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self._release(runtime)

        return release

    def _release(self, runtime: AgentRuntime) -> None:
        self._held[id(runtime)] -= 1
        if self._held[id(runtime)] <= 0:
            del self._held[id(runtime)]
            self._close_retired(runtime)

    def replace(self, roster: Roster) -> None:
        """Let other agents answer from now on."""
        before = {id(agent.runtime): agent.runtime for agent in self._roster.agents}
        self._take(roster)
        after = {id(agent.runtime): agent.runtime for agent in roster.agents}
        for key in before.keys() - after.keys():
            self._retired[key] = before[key]
            self._close_retired(before[key])
        for key in after.keys() - before.keys():
            if self._retired.pop(key, None) is None:
                self._start(after[key], "warm_up")

    def _take(self, roster: Roster) -> None:
        self._roster = roster
        self._by_id = {agent.agent_id: agent for agent in roster.agents}

    def _close_retired(self, runtime: AgentRuntime) -> None:
        if id(runtime) in self._retired and not self._held[id(runtime)]:
            del self._retired[id(runtime)]
            self._start(runtime, "close")

    def _start(self, runtime: AgentRuntime, what: str) -> None:
        if isinstance(runtime, Prepared) and self._tasks is not None:
            work = runtime.warm_up() if what == "warm_up" else runtime.close()
            self._tasks.start(_whole(work), name=f"agents.{what}")

    async def warm_up(self) -> None:
        """Import what the agents' first answers need, in the background."""
        for agent in self._roster.agents:
            if isinstance(agent.runtime, Prepared):
                await agent.runtime.warm_up()

    async def close(self) -> None:
        """Close what the runtimes hold."""
        retired, self._retired = self._retired, {}
        for runtime in (*(agent.runtime for agent in self._roster.agents), *retired.values()):
            if isinstance(runtime, Prepared):
                await runtime.close()


async def _whole(work: Any) -> None:
    await work


class GoneRuntime:
    """Stands for the runtime of an agent that is no longer there."""

    name = "none"
    abilities = Abilities()

    def __init__(self, agent_id: str) -> None:
        self._agent_id = agent_id

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        """Fail, and say why."""
        yield Failed(f'The agent "{self._agent_id}" was removed before it could answer.')
