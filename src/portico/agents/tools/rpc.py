"""RPC methods on tools: what there is, what an agent may use, and calling one.

Source: OpenClaw gateway protocol, "tools.catalog", "tools.effective", "tools.invoke".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec

from portico.agents.service import Agents
from portico.agents.tools.contract import Tool, ToolCall
from portico.agents.tools.policy import PROFILES, Rules, matches
from portico.agents.tools.toolbox import Toolbox, as_content
from portico.ids import new_id
from portico.protocol import keys
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Source = Literal["core", "plugin", "channel", "mcp"]
_SHOWN_PROFILES = ("minimal", "coding", "messaging", "full")
_OPEN = Rules("control plane")


class CatalogParams(Params, frozen=True, kw_only=True):
    """`{agentId?, includePlugins?}`."""

    agent_id: NonEmpty | None = None
    include_plugins: bool = True


class ProfileOf(Result, frozen=True):
    """A profile an agent may be given."""

    id: str
    label: str


class CatalogEntry(Result, frozen=True, kw_only=True, omit_defaults=False):
    """One tool."""

    id: str
    label: str
    description: str
    source: Literal["core", "plugin"]
    default_profiles: tuple[str, ...]


class CatalogGroup(Result, frozen=True, kw_only=True):
    """Tools that belong together."""

    id: str
    label: str
    source: Literal["core", "plugin"] = msgspec.field()
    tools: tuple[CatalogEntry, ...] = msgspec.field()


class Catalog(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Every tool, whoever may use it."""

    agent_id: str
    profiles: tuple[ProfileOf, ...]
    groups: tuple[CatalogGroup, ...]


class EffectiveParams(Params, frozen=True, kw_only=True):
    """`{sessionKey, agentId?}`."""

    session_key: NonEmpty
    agent_id: NonEmpty | None = None


class EffectiveEntry(Result, frozen=True, kw_only=True):
    """One tool of a session."""

    id: str
    label: str
    description: str = msgspec.field()
    raw_description: str = msgspec.field()
    source: Source = msgspec.field()
    mcp_server: str | None = None


class EffectiveGroup(Result, frozen=True, kw_only=True):
    """Tools of one source."""

    id: Source
    label: str
    source: Source
    tools: tuple[EffectiveEntry, ...] = msgspec.field()


class Effective(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What an operator's next message in a session may use."""

    agent_id: str
    profile: str
    groups: tuple[EffectiveGroup, ...]


class InvokeParams(Params, frozen=True, kw_only=True):
    """`{name, args?, sessionKey?, agentId?, confirm?, idempotencyKey?}`."""

    name: NonEmpty
    args: dict[str, Any] = msgspec.field(default_factory=dict)
    session_key: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    confirm: bool | None = None
    idempotency_key: NonEmpty | None = None
    conversation_read_origin: Literal["direct-operator"] | None = None


class InvokeError(Result, frozen=True):
    """Why a tool could not do it."""

    code: str
    message: str


class Invoked(Result, frozen=True, kw_only=True):
    """What a tool answered."""

    ok: bool
    tool_name: str
    source: str = msgspec.field()
    output: Any = None
    error: InvokeError | None = None


class ToolMethods:
    """Tools over the control plane.

    Args:
        http_door: one more layer for callers without a connection, as over HTTP.
    """

    def __init__(
        self, *, toolbox: Toolbox, agents: Agents, main_key: str, http_door: Rules = _OPEN
    ) -> None:
        self._toolbox = toolbox
        self._agents = agents
        self._main_key = main_key
        self._http_door = http_door

    @method("tools.catalog", scope=Scope.READ)
    async def catalog(self, call: Call, params: CatalogParams) -> Catalog:
        """List every tool of the gateway by group, with the profiles it belongs to."""
        agent = self._agents.get(params.agent_id and keys.normalize_agent_id(params.agent_id))
        every = (await self._toolbox.registry.every()).values()
        shown = [t for t in every if params.include_plugins or t.source == "core"]
        groups: dict[str, list[Tool]] = {}
        for tool in shown:
            groups.setdefault(tool.group, []).append(tool)
        return Catalog(
            agent_id=agent.agent_id,
            profiles=tuple(ProfileOf(name, name.capitalize()) for name in _SHOWN_PROFILES),
            groups=tuple(_group(name, tools) for name, tools in groups.items()),
        )

    @method("tools.effective", scope=Scope.READ)
    async def effective(self, call: Call, params: EffectiveParams) -> Effective:
        """List what the session's agent may use in a turn the operator asks for."""
        agent_id, _key = self._whose(params.agent_id, params.session_key)
        tools = await self._toolbox.effective(agent_id, None)
        by_source: dict[Source, list[EffectiveEntry]] = {}
        for tool in tools:
            by_source.setdefault(_source(tool), []).append(_effective(tool))
        return Effective(
            agent_id=agent_id,
            profile=self._toolbox.profile_of(agent_id),
            groups=tuple(
                EffectiveGroup(id=source, label=source.upper(), source=source, tools=tuple(found))
                for source, found in by_source.items()
            ),
        )

    @method("tools.invoke", scope=Scope.WRITE, mutates=True)
    async def invoke(self, call: Call, params: InvokeParams) -> Invoked:
        """Call one tool under the agent's policy and the caller's scopes; return its result."""
        agent_id, key = self._whose(params.agent_id, params.session_key)
        made = ToolCall(
            agent_id=agent_id, session_key=key, call_id=new_id("call"), principal=call.principal
        )
        door = self._http_door if call.connection is None else _OPEN
        tool, done = await self._toolbox.invoke(made, params.name, params.args, door=door)
        error = InvokeError(done.error, str(done.value)) if done.error else None
        output = None if error else as_content(done)
        return Invoked(
            ok=error is None, tool_name=tool.name, source=_source(tool), output=output, error=error
        )

    def _whose(self, agent_id: str | None, session_key: str | None) -> tuple[str, str]:
        """Return the agent in whose name, and the session."""
        default = keys.normalize_agent_id(agent_id) if agent_id else self._agents.default_id
        key = keys.canonical(
            session_key or self._main_key, default_agent=default, main_key=self._main_key
        )
        found = keys.agent_of(key, default_agent=default)
        return self._agents.get(found).agent_id, key


def _group(name: str, tools: Iterable[Tool]) -> CatalogGroup:
    entries = tuple(_entry(tool) for tool in tools)
    source: Literal["core", "plugin"] = entries[0].source
    return CatalogGroup(id=name, label=name.capitalize(), source=source, tools=entries)


def _entry(tool: Tool) -> CatalogEntry:
    return CatalogEntry(
        id=tool.name,
        label=tool.name,
        description=tool.description,
        source="core" if tool.source == "core" else "plugin",
        default_profiles=tuple(p for p in _SHOWN_PROFILES if matches(tool, PROFILES[p])),
    )


def _effective(tool: Tool) -> EffectiveEntry:
    return EffectiveEntry(
        id=tool.name,
        label=tool.name,
        description=tool.description.partition("\n")[0],
        raw_description=tool.description,
        source=_source(tool),
        mcp_server=tool.source.removeprefix("mcp:") if _source(tool) == "mcp" else None,
    )


def _source(tool: Tool) -> Source:
    if tool.source.startswith("mcp:"):
        return "mcp"
    return "core" if tool.source == "core" else "plugin"
