"""RPC methods that show the agents.

Source: OpenClaw gateway protocol, "agents.list", "agent.identity.get".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from portico.agents.model.catalog import Catalog
from portico.agents.rpc_models import model_of, thinking_levels
from portico.agents.service import Agent, Agents, RuntimeSource
from portico.agents.workspace.identity import identity_of
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class RuntimeOf(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Which runtime an agent has, and where it was chosen."""

    id: str
    cloud_placement_supported: bool = False
    device_placement_supported: bool = False
    source: RuntimeSource = "agent"


class ThinkingLevel(Result, frozen=True, omit_defaults=False):
    """One way to think."""

    id: str
    label: str


class AgentSummary(Result, frozen=True, kw_only=True):
    """One agent of the list."""

    id: str
    agent_runtime: RuntimeOf
    model: dict[str, Any]
    kind: Literal["agent"] = msgspec.field(default_factory=lambda: "agent")
    name: str | None = None
    identity: dict[str, str] | None = None
    workspace: str | None = None
    workspace_git: bool | None = None
    thinking_levels: tuple[ThinkingLevel, ...] | None = None
    thinking_options: tuple[str, ...] | None = None
    thinking_default: str | None = None


class AgentsListed(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Every agent, and which one answers when none is named."""

    default_id: str
    ownership: Literal["sole", "legacy"]
    selection_required: bool = False
    main_key: str
    scope: Literal["per-sender", "global"]
    agents: tuple[AgentSummary, ...]


class IdentityGet(Params, frozen=True, kw_only=True):
    """`{agentId?, sessionKey?}`."""

    agent_id: NonEmpty | None = None
    session_key: str | None = None


class Identity(Result, frozen=True, kw_only=True):
    """How an agent shows itself."""

    agent_id: str
    name: str | None = None
    name_source: str | None = None
    avatar: str | None = None
    avatar_source: str | None = None
    avatar_status: str | None = None
    avatar_reason: str | None = None
    emoji: str | None = None


class AgentMethods:
    """What clients may know of the agents."""

    def __init__(
        self,
        *,
        agents: Agents,
        main_key: str = "main",
        scope: Literal["per-sender", "global"] = "per-sender",
    ) -> None:
        self._agents = agents
        self._main_key = main_key
        self._scope = scope

    @method("agents.list", scope=Scope.READ)
    async def list(self, call: Call, params: Empty) -> AgentsListed:
        """List the configured agents."""
        agents = self._agents.list()
        shown = await asyncio.to_thread(_summaries, agents, self._agents.catalog)
        return AgentsListed(
            default_id=self._agents.default_id,
            ownership="sole" if len(agents) == 1 else "legacy",
            main_key=self._main_key,
            scope=self._scope,
            agents=shown,
        )

    @method("agent.identity.get", scope=Scope.READ)
    async def identity(self, call: Call, params: IdentityGet) -> Identity:
        """Show an agent's name, avatar and emoji: from its configuration, else IDENTITY.md."""
        agent = self._agents.meant(params.agent_id, params.session_key, main_key=self._main_key)
        found = await asyncio.to_thread(identity_of, agent)
        return Identity(
            agent_id=agent.agent_id,
            name=found.name,
            name_source=found.name_source if found.name else None,
            avatar=found.avatar,
            avatar_source=found.avatar_source,
            avatar_status=found.avatar_status,
            avatar_reason=found.avatar_reason,
            emoji=found.emoji,
        )


def _summaries(agents: Sequence[Agent], catalog: Catalog) -> tuple[AgentSummary, ...]:
    return tuple(_summary(agent, catalog) for agent in agents)


def _summary(agent: Agent, catalog: Catalog) -> AgentSummary:
    found = identity_of(agent)
    looks = {"name": found.name, "theme": found.theme, "emoji": found.emoji, "avatar": found.avatar}
    shown = {name: value for name, value in looks.items() if value}
    levels = thinking_levels(agent, catalog)
    return AgentSummary(
        id=agent.agent_id,
        agent_runtime=RuntimeOf(id=agent.runtime.name, source=agent.runtime_source),
        name=agent.name,
        identity=shown or None,
        workspace=agent.workspace,
        workspace_git=_has_git(agent.workspace),
        model=_model_names(agent, catalog),
        thinking_levels=tuple(ThinkingLevel(level, level) for level in levels),
        thinking_options=levels,
        thinking_default=agent.thinking if agent.thinking in levels else "off",
    )


def _has_git(workspace: str | None) -> bool | None:
    return None if workspace is None else (Path(workspace) / ".git").exists()


def _model_names(agent: Agent, catalog: Catalog) -> dict[str, Any]:
    names: dict[str, Any] = {"primary": "/".join(model_of(agent, catalog))}
    if agent.fallbacks:
        names["fallbacks"] = list(agent.fallbacks)
    return names
