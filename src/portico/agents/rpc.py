"""RPC methods that show the agents and the models they use.

Source: OpenClaw gateway protocol, "agents.list", "agent.identity.get", "models.list".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from portico.agents.model.catalog import Catalog, UnknownModel
from portico.agents.runtime import AgentRuntime
from portico.agents.service import Agent, Agents
from portico.protocol import keys
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class RuntimeOf(Result, frozen=True):
    """Which runtime an agent has."""

    id: str
    source: str = msgspec.field(default_factory=lambda: "agent")


class AgentSummary(Result, frozen=True, kw_only=True):
    """One agent of the list."""

    id: str
    agent_runtime: RuntimeOf
    model: dict[str, Any]
    name: str | None = None
    identity: dict[str, str] | None = None
    workspace: str | None = None


class AgentsListed(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Every agent, and which one answers when none is named."""

    default_id: str
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
    emoji: str | None = None


class ModelsList(Params, frozen=True, kw_only=True):
    """Filters of the model list."""

    agent_id: NonEmpty | None = None
    session_key: NonEmpty | None = None
    auth_profile_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None
    provider: NonEmpty | None = None
    include_details: bool | None = None
    include_provider_capabilities: bool | None = None
    include_default_models: bool | None = None
    prepared_only: bool | None = None
    refresh: bool | None = None
    view: Literal["default", "configured", "provider-config", "all"] = "default"


class ModelSummary(Result, frozen=True, kw_only=True):
    """One model an agent can be asked to use."""

    id: str
    name: str
    provider: str
    available: bool = msgspec.field()
    tags: tuple[str, ...] = ()
    alias: str | None = None
    context_window: int | None = None
    reasoning: bool | None = None
    input: tuple[str, ...] | None = None


class ModelsListed(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The models."""

    models: tuple[ModelSummary, ...]


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
    def list(self, call: Call, params: Empty) -> AgentsListed:
        """List the configured agents."""
        return AgentsListed(
            default_id=self._agents.default_id,
            main_key=self._main_key,
            scope=self._scope,
            agents=tuple(_summary(agent, self._agents.catalog) for agent in self._agents.list()),
        )

    @method("agent.identity.get", scope=Scope.READ)
    def identity(self, call: Call, params: IdentityGet) -> Identity:
        """Show an agent's name, avatar and emoji."""
        agent = self._agents.get(self._wanted(params.agent_id, params.session_key))
        return Identity(
            agent_id=agent.agent_id,
            name=agent.name,
            name_source="config" if agent.name else None,
            avatar=agent.avatar,
            avatar_source="config" if agent.avatar else None,
            avatar_status=_avatar_status(agent.avatar),
            emoji=agent.emoji,
        )

    @method("models.list", scope=Scope.READ)
    def models(self, call: Call, params: ModelsList) -> ModelsListed:
        """List the models the agents are configured with."""
        if params.prepared_only and params.refresh:
            raise InvalidRequest("invalid models.list params: preparedOnly excludes refresh")
        if params.session_key and params.auth_profile_id:
            raise InvalidRequest("invalid models.list params: sessionKey excludes authProfileId")
        wanted = self._wanted(params.agent_id, params.session_key)
        agent = self._agents.get(wanted)
        found = models_of(self._agents, agent)
        return ModelsListed(models=tuple(m for m in found if params.provider in (None, m.provider)))

    def _wanted(self, agent_id: str | None, session_key: str | None) -> str | None:
        if agent_id is not None:
            return keys.normalize_agent_id(agent_id)
        if not session_key:
            return None
        default = self._agents.default_id
        key = keys.canonical(session_key, default_agent=default, main_key=self._main_key)
        return keys.agent_of(key, default_agent=default)


def models_of(agents: Agents, chosen: Agent) -> tuple[ModelSummary, ...]:
    """Return every configured model once; the chosen agent's own is marked as default."""
    catalog = agents.catalog
    default = _model(chosen, catalog)
    others = {_model(agent, catalog): None for agent in agents.list()}
    others |= {(choice.provider.name, choice.model.id): None for choice in catalog.listed()}
    others.pop(default, None)
    return (
        _model_summary(*default, catalog=catalog, tags=("default",)),
        *(_model_summary(provider, name, catalog=catalog) for provider, name in sorted(others)),
    )


def _model(agent: Agent, catalog: Catalog) -> tuple[str, str]:
    if agent.model is None:
        return "portico", agent.runtime.name
    try:
        choice = catalog.resolve(agent.model)
    except UnknownModel:
        provider, slash, name = agent.model.partition("/")
        return (provider, name) if slash else ("portico", agent.model)
    return choice.provider.name, choice.model.id


def _model_summary(
    provider: str, model_id: str, *, catalog: Catalog, tags: tuple[str, ...] = ()
) -> ModelSummary:
    try:
        choice = catalog.resolve(f"{provider}/{model_id}")
    except UnknownModel:
        return ModelSummary(
            id=model_id, name=model_id, provider=provider, available=True, tags=tags
        )
    model = choice.model
    return ModelSummary(
        id=model_id,
        name=model.name or model_id,
        provider=provider,
        available=choice.provider.usable,
        tags=tags,
        alias=next(iter(catalog.aliases_of(choice.name)), None),
        context_window=model.context_window,
        reasoning=model.reasoning,
        input=None if model.inputs is None else tuple(sorted(model.inputs)),
    )


def _summary(agent: Agent, catalog: Catalog) -> AgentSummary:
    identity = {"name": agent.name, "emoji": agent.emoji, "avatar": agent.avatar}
    shown = {name: value for name, value in identity.items() if value}
    return AgentSummary(
        id=agent.agent_id,
        agent_runtime=_runtime(agent.runtime),
        name=agent.name,
        identity=shown or None,
        workspace=agent.workspace,
        model={"primary": "/".join(_model(agent, catalog))},
    )


def _runtime(runtime: AgentRuntime) -> RuntimeOf:
    return RuntimeOf(runtime.name)


def _avatar_status(avatar: str | None) -> str:
    if not avatar:
        return "none"
    if avatar.startswith("data:"):
        return "data"
    return "remote" if avatar.startswith(("http://", "https://")) else "local"
