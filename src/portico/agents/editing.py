"""Making, changing and removing agents while the gateway runs.

Guarantees: an agent is in the config file and answers, or neither. A new agent's directory is there
before the agent is; a removed one's goes to the trash after it is gone. Turns that run when their
agent is removed finish; what still waits for it fails and says so; its sessions can be read.

Source: OpenClaw gateway protocol, "agents.create", "agents.update", "agents.delete".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from portico.agents.entries import (
    AlreadyThere,
    CannotRemove,
    NoSuchAgent,
    Removal,
    Settings,
    adding,
    changing,
    removing,
)
from portico.agents.model.catalog import UnknownModel
from portico.agents.service import Agent, Agents
from portico.agents.workspace.documents import Documents
from portico.agents.workspace.trash import CannotTrash, trash
from portico.clock import Clock
from portico.config.edit import Change
from portico.config.issues import ConfigError
from portico.config.live import Decide, LiveConfig
from portico.config.service import LoadedConfig
from portico.protocol import keys
from portico.protocol.errors import GatewayError, InvalidRequest, Unavailable

T = TypeVar("T")
log = structlog.get_logger()

MAX_NAME_CHARS = 200
MAX_EMOJI_CHARS = 32
MAX_AVATAR_CHARS = 65_536
_UNNAMED = "agent"  # the id of an agent whose name has no letter of the alphabet


@dataclass(frozen=True, slots=True)
class NewAgent:
    """What is asked of a new agent."""

    name: str
    workspace: str | None = None
    model: str | None = None
    emoji: str | None = None
    avatar: str | None = None


@dataclass(frozen=True, slots=True)
class Removed:
    """What became of a removed agent.

    Attributes:
        trashed: where its directory was; `None`: it was left alone.
        was_missing: there was no directory.
        kept_because: why the directory is still in its place.
    """

    agent_id: str
    bindings: int
    workspace: str
    trashed: bool = False
    was_missing: bool = False
    kept_because: str | None = None


class AgentEditor:
    """Changes the agents of a running gateway, and who answers what."""

    def __init__(
        self, *, live: LiveConfig, agents: Agents, clock: Clock, max_document_bytes: int
    ) -> None:
        self._live = live
        self._agents = agents
        self._clock = clock
        self._max_document_bytes = max_document_bytes
        self._turn = asyncio.Lock()  # of those who make directories

    async def create(self, new: NewAgent) -> Agent:
        """Add an agent and its directory.

        Raises:
            InvalidRequest: there is one already, or something of it is not acceptable.
            Unavailable: its directory cannot be made.
        """
        async with self._turn:
            return await self._create(new)

    async def _create(self, new: NewAgent) -> Agent:
        name = one_line(new.name, "name", MAX_NAME_CHARS)
        agent_id = self._free_id(name)
        self._check_model(new.model)
        workspace = self._workspace(agent_id, new.workspace)
        looks = {"identity.emoji": new.emoji, "identity.avatar": new.avatar, "model": new.model}
        given = {key: value for key, value in looks.items() if value}
        settings = Settings({"name": name, "workspace": str(workspace), **given})
        documents = Documents(workspace, limit=self._max_document_bytes)
        made = await _on_disk(documents.start)
        try:
            await self._edit(lambda loaded: adding(loaded, agent_id, settings))
        except GatewayError:
            await _on_disk(partial(documents.undo_start, made))
            raise
        log.info("agent.created", agent=agent_id)
        return self._agents.get(agent_id)

    def _free_id(self, name: str) -> str:
        agent_id = keys.normalize_agent_id(name)
        if agent_id:
            return agent_id
        taken = {agent.agent_id for agent in self._agents.list()}
        numbers = (f"{_UNNAMED}-{n}" for n in range(2, len(taken) + 3))
        return next(one for one in (_UNNAMED, *numbers) if one not in taken)

    def _workspace(self, agent_id: str, given: str | None) -> Path:
        if not given:
            agents, paths = self._live.loaded.require().agents, self._live.loaded.paths
            return agents.workspace_for(agent_id, paths.state_dir)
        path = Path(one_line(given, "workspace", 4096)).expanduser()
        if not path.is_absolute():
            raise InvalidRequest("workspace must be an absolute path, or begin with ~")
        return path

    def _check_model(self, model: str | None) -> None:
        if not model:
            return
        try:
            self._agents.catalog.resolve(model)
        except UnknownModel as error:
            raise InvalidRequest(str(error), details={"code": "UNKNOWN_MODEL"}) from None

    async def update(self, agent_id: str, changes: Settings) -> None:
        """Change what is set of an agent; another directory is made if it is not there.

        Raises:
            InvalidRequest: there is no such agent, or something is not acceptable.
            Unavailable: the directory cannot be made.
        """
        async with self._turn:
            await self._update(agent_id, changes)

    async def _update(self, agent_id: str, changes: Settings) -> None:
        self._check_model(changes.set.get("model"))
        made: tuple[str, ...] = ()
        documents: Documents | None = None
        if "workspace" in changes.set and self._agents.find(agent_id) is not None:
            path = self._workspace(agent_id, changes.set["workspace"])
            changes = replace(changes, set={**changes.set, "workspace": str(path)})
            documents = Documents(path, limit=self._max_document_bytes)
            made = await _on_disk(documents.start)
        try:
            await self._edit(lambda loaded: changing(loaded, agent_id, changes))
        except GatewayError:
            if documents is not None:
                await _on_disk(partial(documents.undo_start, made))
            raise

    async def delete(self, agent_id: str, *, trash_files: bool | None) -> Removed:
        """Remove an agent and the bindings to it.

        Args:
            trash_files: whether its directory goes to the trash; `None`: if it is one the gateway
                made, in its state directory.

        Raises:
            InvalidRequest: there is no such agent, or it has to stay.
        """
        removal = Removal((), 0)
        agent = self._agents.find(agent_id)

        def decide(loaded: LoadedConfig) -> Sequence[Change]:
            nonlocal removal
            removal = removing(loaded, agent_id)
            return removal.changes

        await self._edit(decide)
        log.info("agent.deleted", agent=agent_id, bindings=removal.bindings)
        workspace = Path(agent.workspace) if agent is not None and agent.workspace else None
        removed = Removed(agent_id, removal.bindings, str(workspace or ""))
        if workspace is None or not self._goes_to_trash(workspace, trash_files):
            return removed
        return await asyncio.to_thread(self._trash, removed, workspace)

    def _goes_to_trash(self, workspace: Path, wanted: bool | None) -> bool:  # noqa: FBT001
        if wanted is not None:
            return wanted
        return workspace.is_relative_to(self._live.loaded.paths.state_dir)

    def _trash(self, removed: Removed, workspace: Path) -> Removed:
        others = [Path(one.workspace) for one in self._agents.list() if one.workspace]
        try:
            target = trash(
                workspace,
                state_dir=self._live.loaded.paths.state_dir,
                others=others,
                label=str(self._clock.now_ms()),
            )
        except CannotTrash as error:
            log.warning("agent.workspace_kept", workspace=str(workspace), reason=str(error))
            return replace(removed, kept_because=str(error))
        return replace(removed, trashed=target is not None, was_missing=target is None)

    async def _edit(self, decide: Decide) -> None:
        await edit(self._live, decide)


async def edit(live: LiveConfig, decide: Decide) -> None:
    """Change the config file; say why not in the words of the protocol.

    Raises:
        InvalidRequest: what was asked cannot be, or the file is broken, or would be.
        Unavailable: it cannot be written.
    """
    try:
        await live.edit(decide)
    except NoSuchAgent as error:
        raise InvalidRequest(
            f'agent "{error}" not found', details={"code": "UNKNOWN_AGENT_ID"}
        ) from None
    except AlreadyThere as error:
        raise InvalidRequest(f'agent "{error}" already exists') from None
    except CannotRemove as error:
        raise InvalidRequest(str(error)) from None
    except ConfigError as error:
        issues = [issue.to_wire() for issue in error.issues]
        first = error.issues[0]
        where = f"{first.path}: " if first.path else ""
        raise InvalidRequest(
            f"invalid config: {where}{first.message}",
            details={"code": "INVALID_CONFIG", "issues": issues},
        ) from None
    except OSError as error:
        raise Unavailable(f"the config file cannot be written: {error.strerror or error}") from None


def one_line(value: str, what: str, most: int) -> str:
    """Return a short text without the blanks around it.

    Raises:
        InvalidRequest: nothing is left, it is too long, or it has control characters.
    """
    text = value.strip()
    if not text:
        raise InvalidRequest(f"{what} must not be empty")
    if len(text) > most:
        raise InvalidRequest(f"{what} must not have more than {most} characters")
    if not text.isprintable():
        raise InvalidRequest(f"{what} must be one line of text")
    return text


async def _on_disk(work: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        raise Unavailable(f"the workspace cannot be made: {error.strerror or error}") from None
