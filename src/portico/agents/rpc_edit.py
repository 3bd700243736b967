"""RPC methods that change the agents, and who answers what.

`agents.bindings.*` are Portico's own; the others are the protocol's.

Source: OpenClaw gateway protocol, "agents.create", "agents.update", "agents.delete".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from portico.agents.binding_edits import BindingEditor, described
from portico.agents.bindings import Binding
from portico.agents.editing import (
    MAX_AVATAR_CHARS,
    MAX_EMOJI_CHARS,
    MAX_NAME_CHARS,
    AgentEditor,
    NewAgent,
    Removed,
    one_line,
)
from portico.agents.entries import Settings
from portico.agents.service import Agents
from portico.protocol import keys
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
MAX_MATCHES = 200


class Create(Params, frozen=True, kw_only=True):
    """`{name, workspace?, model?, emoji?, avatar?}`."""

    name: NonEmpty
    workspace: NonEmpty | None = None
    model: NonEmpty | None = None
    emoji: str | None = None
    avatar: str | None = None


class Created(Result, frozen=True, kw_only=True):
    """The new agent."""

    ok: Literal[True] = msgspec.field(default_factory=lambda: True)
    agent_id: str
    name: str
    workspace: str
    model: str | None = None


class Update(Params, frozen=True, kw_only=True):
    """`{agentId, name?, workspace?, model?, agentRuntime?, emoji?, avatar?}`.

    `null` or an empty text takes a value away; `default: true` makes it the default agent.
    """

    agent_id: NonEmpty
    name: NonEmpty | UnsetType = UNSET
    workspace: NonEmpty | UnsetType = UNSET
    model: NonEmpty | UnsetType | None = UNSET
    agent_runtime: NonEmpty | UnsetType = UNSET
    emoji: str | UnsetType | None = UNSET
    avatar: str | UnsetType | None = UNSET
    theme: str | UnsetType | None = UNSET
    default: Literal[True] | UnsetType = UNSET


class Updated(Result, frozen=True, kw_only=True):
    """It is changed."""

    ok: Literal[True] = msgspec.field(default_factory=lambda: True)
    agent_id: str


class Delete(Params, frozen=True, kw_only=True):
    """`{agentId, deleteFiles?}`."""

    agent_id: NonEmpty
    delete_files: bool | None = None


class RemovedPath(Result, frozen=True, kw_only=True):
    """A directory that is no longer in its place."""

    path: str
    method: Literal["trash", "missing"]


class FailedPath(Result, frozen=True, kw_only=True):
    """A directory that is, and why."""

    path: str
    reason: str


class Deleted(Result, frozen=True, kw_only=True):
    """It is gone."""

    ok: Literal[True] = msgspec.field(default_factory=lambda: True)
    agent_id: str
    removed_bindings: int
    removed: tuple[RemovedPath, ...] | None = None
    failed: tuple[FailedPath, ...] | None = None


class PeerMatch(Params, frozen=True, kw_only=True):
    """One conversation, or with the id `*` every one of a kind."""

    kind: Literal["direct", "group", "channel"]
    id: NonEmpty


class MatchOf(Params, frozen=True, kw_only=True, omit_defaults=True):
    """What must be true of a message."""

    channel: NonEmpty
    account_id: NonEmpty | None = None
    peer: PeerMatch | None = None
    guild_id: NonEmpty | None = None
    team_id: NonEmpty | None = None
    roles: tuple[NonEmpty, ...] = ()


Matches = Annotated[tuple[MatchOf, ...], msgspec.Meta(min_length=1, max_length=MAX_MATCHES)]


class BindingsList(Params, frozen=True, kw_only=True):
    """`{agentId?}`."""

    agent_id: NonEmpty | None = None


class BindingShown(Result, frozen=True, kw_only=True):
    """One binding."""

    agent_id: str
    match: dict[str, Any]
    description: str
    comment: str | None = None


class BindingsListed(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Bindings, in the order in which equals are asked."""

    bindings: tuple[BindingShown, ...]


class Bind(Params, frozen=True, kw_only=True):
    """`{agentId, matches}`."""

    agent_id: NonEmpty
    matches: Matches


class Bound(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What is bound now and was not before."""

    agent_id: str
    added: tuple[dict[str, Any], ...]


class Unbind(Params, frozen=True, kw_only=True):
    """`{agentId, matches?}`; without matches all of the agent's bindings."""

    agent_id: NonEmpty
    matches: Matches | None = None


class Unbound(Result, frozen=True, kw_only=True, omit_defaults=False):
    """How many bindings are gone."""

    agent_id: str
    removed: int


class AgentEditMethods:
    """What administrators may change of the agents."""

    def __init__(self, *, agents: Agents, editor: AgentEditor, bindings: BindingEditor) -> None:
        self._agents = agents
        self._editor = editor
        self._bindings = bindings

    @method("agents.create", scope=Scope.ADMIN, audit="agent.created")
    async def create(self, call: Call, params: Create) -> Created:
        """Add an agent with a directory of its own; it answers at once."""
        agent = await self._editor.create(
            NewAgent(
                params.name,
                params.workspace,
                params.model,
                _short(params.emoji, "emoji", MAX_EMOJI_CHARS),
                _short(params.avatar, "avatar", MAX_AVATAR_CHARS),
            )
        )
        return Created(
            agent_id=agent.agent_id,
            name=agent.name or agent.agent_id,
            workspace=agent.workspace or "",
            model=params.model,
        )

    @method("agents.update", scope=Scope.ADMIN, audit="agent.updated")
    async def update(self, call: Call, params: Update) -> Updated:
        """Change an agent; turns that run finish as they began."""
        agent_id = keys.normalize_agent_id(params.agent_id)
        await self._editor.update(agent_id, _settings(params))
        return Updated(agent_id=agent_id)

    @method("agents.delete", scope=Scope.ADMIN, audit="agent.deleted")
    async def delete(self, call: Call, params: Delete) -> Deleted:
        """Remove an agent and the bindings to it; its directory goes to the trash."""
        agent_id = keys.normalize_agent_id(params.agent_id)
        return _deleted(await self._editor.delete(agent_id, trash_files=params.delete_files))

    @method("agents.bindings.list", scope=Scope.READ)
    def bindings(self, call: Call, params: BindingsList) -> BindingsListed:
        """List which agent answers what comes in through channels."""
        wanted = params.agent_id and keys.normalize_agent_id(params.agent_id)
        return BindingsListed(
            bindings=tuple(
                _shown(binding)
                for binding in self._agents.roster.bindings
                if wanted in (None, binding.agent_id)
            )
        )

    @method("agents.bindings.add", scope=Scope.ADMIN, audit="agent.bound")
    async def bind(self, call: Call, params: Bind) -> Bound:
        """Let an agent answer what comes in through a channel, an account, a conversation."""
        agent_id = keys.normalize_agent_id(params.agent_id)
        matches = [msgspec.to_builtins(match) for match in params.matches]
        added = await self._bindings.add(agent_id, matches)
        return Bound(agent_id=agent_id, added=tuple(dict(match) for match in added))

    @method("agents.bindings.remove", scope=Scope.ADMIN, audit="agent.unbound")
    async def unbind(self, call: Call, params: Unbind) -> Unbound:
        """Take bindings away from an agent: some, or all."""
        agent_id = keys.normalize_agent_id(params.agent_id)
        wanted = params.matches
        matches = None if wanted is None else [msgspec.to_builtins(match) for match in wanted]
        return Unbound(agent_id=agent_id, removed=await self._bindings.remove(agent_id, matches))


def _short(value: str | None, what: str, most: int) -> str | None:
    return one_line(value, what, most) if value and value.strip() else None


def _settings(params: Update) -> Settings:
    values: dict[str, Any] = {}
    gone: list[str] = []
    if isinstance(params.name, str):
        values["name"] = one_line(params.name, "name", MAX_NAME_CHARS)
    if isinstance(params.workspace, str):
        values["workspace"] = params.workspace
    if isinstance(params.agent_runtime, str):
        if params.agent_runtime not in {"echo", "model"}:
            raise InvalidRequest('agentRuntime must be "echo" or "model"; others need settings')
        values["runtime"] = params.agent_runtime
    if params.default is True:
        values["default"] = True
    for key, given, most in (
        ("model", params.model, MAX_NAME_CHARS),
        ("identity.emoji", params.emoji, MAX_EMOJI_CHARS),
        ("identity.avatar", params.avatar, MAX_AVATAR_CHARS),
        ("identity.theme", params.theme, MAX_NAME_CHARS),
    ):
        if given is UNSET:
            continue
        if isinstance(given, str) and given.strip():
            values[key] = one_line(given, key.rpartition(".")[2], most)
        else:
            gone.append(key)
    return Settings(values, tuple(gone))


def _deleted(removed: Removed) -> Deleted:
    moved: tuple[RemovedPath, ...] | None = None
    if removed.trashed:
        moved = (RemovedPath(path=removed.workspace, method="trash"),)
    elif removed.was_missing:
        moved = (RemovedPath(path=removed.workspace, method="missing"),)
    kept = removed.kept_because
    return Deleted(
        agent_id=removed.agent_id,
        removed_bindings=removed.bindings,
        removed=moved,
        failed=None if kept is None else (FailedPath(path=removed.workspace, reason=kept),),
    )


def _shown(binding: Binding) -> BindingShown:
    peer = binding.peer
    match: dict[str, Any] = {"channel": binding.channel, "accountId": binding.account}
    if peer is not None:
        match["peer"] = {"kind": peer.kind, "id": peer.id}
    if binding.guild_id is not None:
        match["guildId"] = binding.guild_id
    if binding.team_id is not None:
        match["teamId"] = binding.team_id
    if binding.roles:
        match["roles"] = sorted(binding.roles)
    return BindingShown(
        agent_id=binding.agent_id,
        match=match,
        description=described(match),
        comment=binding.comment,
    )
