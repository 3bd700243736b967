"""RPC methods on an agent's directory: its documents, and a look at the rest.

Source: OpenClaw gateway protocol, "agents.files.*", "agents.workspace.*".
"""

from __future__ import annotations

import asyncio
import base64
import mimetypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from portico.agents.service import Agent, Agents
from portico.agents.workspace.documents import (
    EXPECTED_ABSENT,
    Conflict,
    Document,
    Documents,
    UnknownDocument,
)
from portico.agents.workspace.tree import Content, TooLarge, Tree, UnsafePath
from portico.protocol import keys
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

T = TypeVar("T")
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Hash = Annotated[str, msgspec.Meta(pattern="^[a-fA-F0-9]{64}$")]
PAGE = 200
LARGEST_PAGE = 1_000


class FilesList(Params, frozen=True, kw_only=True):
    """`{agentId}`."""

    agent_id: NonEmpty


class FileGet(Params, frozen=True, kw_only=True):
    """`{agentId, name}`."""

    agent_id: NonEmpty
    name: NonEmpty


class FileSet(Params, frozen=True, kw_only=True):
    """`{agentId, name, content, expectedHash?}`."""

    agent_id: NonEmpty
    name: NonEmpty
    content: str
    expected_hash: Hash | None = None


class FileEntry(Result, frozen=True, kw_only=True):
    """One document."""

    name: str
    path: str
    missing: bool = msgspec.field()
    expected_absent: bool | None = None
    size: int | None = None
    updated_at_ms: int | None = None
    hash: str | None = None
    content: str | None = None


class FilesListed(Result, frozen=True, kw_only=True):
    """Every document of an agent."""

    agent_id: str
    workspace: str
    files: tuple[FileEntry, ...] = msgspec.field()


class FileShown(Result, frozen=True, kw_only=True):
    """One document with its content."""

    agent_id: str
    workspace: str
    file: FileEntry


class FileWritten(Result, frozen=True, kw_only=True):
    """A document as it is now."""

    ok: Literal[True] = msgspec.field(default_factory=lambda: True)
    agent_id: str
    workspace: str
    file: FileEntry


class WorkspaceList(Params, frozen=True, kw_only=True):
    """`{agentId, path?, offset?, limit?}`; path "" is the workspace itself."""

    agent_id: NonEmpty
    path: str = ""
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1)] = PAGE


class WorkspaceEntry(Result, frozen=True, kw_only=True):
    """One file or directory."""

    path: str
    name: str
    kind: Literal["file", "directory"]
    size: int | None = None
    updated_at_ms: int | None = None


class WorkspaceListed(Result, frozen=True, kw_only=True, omit_defaults=False):
    """A page of a directory."""

    agent_id: str
    path: str
    parent_path: str | msgspec.UnsetType
    entries: tuple[WorkspaceEntry, ...]
    total_entries: int
    offset: int


class WorkspaceGet(Params, frozen=True, kw_only=True):
    """`{agentId, path}`."""

    agent_id: NonEmpty
    path: NonEmpty


class WorkspaceFile(Result, frozen=True, kw_only=True):
    """One file with its content: text as it is, anything else in base64."""

    path: str
    name: str
    size: int
    updated_at_ms: int
    mime_type: str
    encoding: Literal["utf8", "base64"]
    content: str


class WorkspaceShown(Result, frozen=True, kw_only=True):
    """One file of a workspace."""

    agent_id: str
    file: WorkspaceFile


@dataclass(frozen=True, slots=True)
class WorkspaceLimits:
    """Sizes in bytes.

    Attributes:
        document: of AGENTS.md and its kin.
        file: of any file that is shown.
    """

    document: int = 2 * 1024 * 1024
    file: int = 4 * 1024 * 1024


class WorkspaceMethods:
    """What clients may see and change of agents' directories."""

    def __init__(self, agents: Agents, limits: WorkspaceLimits | None = None) -> None:
        self._agents = agents
        self._limits = limits or WorkspaceLimits()

    @method("agents.files.list", scope=Scope.READ)
    async def files(self, call: Call, params: FilesList) -> FilesListed:
        """List the documents that make an agent what it is."""
        agent, workspace = self._place(params.agent_id)
        found = await _safely("", self._documents(workspace).list)
        return FilesListed(
            agent_id=agent.agent_id,
            workspace=str(workspace),
            files=tuple(_entry(document) for document in found),
        )

    @method("agents.files.get", scope=Scope.READ)
    async def file(self, call: Call, params: FileGet) -> FileShown:
        """Show one document of an agent."""
        agent, workspace = self._place(params.agent_id)
        found = await _safely(params.name, lambda: self._documents(workspace).get(params.name))
        return FileShown(agent_id=agent.agent_id, workspace=str(workspace), file=_entry(found))

    @method("agents.files.set", scope=Scope.ADMIN)
    async def set_file(self, call: Call, params: FileSet) -> FileWritten:
        """Write one document of an agent; with `expectedHash`, only over what was read."""
        agent, workspace = self._place(params.agent_id)
        written = await _safely(
            params.name,
            lambda: self._documents(workspace).set(
                params.name, params.content, expected=params.expected_hash
            ),
        )
        return FileWritten(agent_id=agent.agent_id, workspace=str(workspace), file=_entry(written))

    @method("agents.workspace.list", scope=Scope.READ)
    async def entries(self, call: Call, params: WorkspaceList) -> WorkspaceListed:
        """List a directory of an agent's workspace; hidden files are left out."""
        agent, workspace = self._place(params.agent_id)
        path = params.path.strip("/")
        found = await _safely(path, lambda: Tree(workspace).list(path))
        if found is None and path:
            raise InvalidRequest(f'directory "{path[:200]}" not found')
        entries, start = found or [], params.offset
        page = entries[start : start + min(params.limit, LARGEST_PAGE)]
        return WorkspaceListed(
            agent_id=agent.agent_id,
            path=path,
            parent_path=path.rpartition("/")[0] if path else msgspec.UNSET,
            entries=tuple(
                WorkspaceEntry(
                    path=entry.path,
                    name=entry.name,
                    kind=entry.kind,
                    size=entry.size if entry.kind == "file" else None,
                    updated_at_ms=entry.updated_at_ms,
                )
                for entry in page
            ),
            total_entries=len(entries),
            offset=start,
        )

    @method("agents.workspace.get", scope=Scope.READ)
    async def entry(self, call: Call, params: WorkspaceGet) -> WorkspaceShown:
        """Show one file of an agent's workspace."""
        agent, workspace = self._place(params.agent_id)
        limit = self._limits.file
        found = await _safely(params.path, lambda: Tree(workspace).read(params.path, limit=limit))
        if found is None:
            raise InvalidRequest(f'file "{params.path[:200]}" not found')
        return WorkspaceShown(agent_id=agent.agent_id, file=_shown(params.path, found))

    def _place(self, agent_id: str) -> tuple[Agent, Path]:
        agent = self._agents.find(keys.normalize_agent_id(agent_id))
        if agent is None or agent.workspace is None:
            raise InvalidRequest(
                f'unknown agent id "{agent_id}"', details={"code": "UNKNOWN_AGENT_ID"}
            )
        return agent, Path(agent.workspace)

    def _documents(self, workspace: Path) -> Documents:
        return Documents(workspace, limit=self._limits.document)


async def _safely(name: str, work: Callable[[], T]) -> T:
    """Do file work in a thread; what goes wrong is the caller's or the disk's."""
    shown = name[:200]
    try:
        return await asyncio.to_thread(work)
    except UnknownDocument:
        raise InvalidRequest(f'unsupported file "{shown}"') from None
    except UnsafePath as error:
        raise InvalidRequest(f'unsafe workspace file "{shown}" ({error})') from None
    except TooLarge as error:
        raise InvalidRequest(f'file "{shown}" is too large: {error}') from None
    except Conflict as error:
        details: dict[str, Any] = {"type": "agent_file_conflict", "name": name}
        if error.current:
            details["currentHash"] = error.current
        raise InvalidRequest(
            f'agent file "{shown}" changed since it was read', details=details
        ) from None
    except OSError as error:
        raise Unavailable(f"the workspace cannot be used: {error.strerror or error}") from None


def _entry(document: Document) -> FileEntry:
    absent = document.is_missing and document.name in EXPECTED_ABSENT
    return FileEntry(
        name=document.name,
        path=document.path,
        missing=document.is_missing,
        expected_absent=absent or None,
        size=document.size,
        updated_at_ms=document.updated_at_ms,
        hash=document.hash,
        content=document.content,
    )


def _shown(path: str, found: Content) -> WorkspaceFile:
    encoding: Literal["utf8", "base64"] = "utf8"
    try:
        text = found.data.decode()
    except UnicodeDecodeError:
        encoding, text = "base64", base64.b64encode(found.data).decode()
    guessed, _ = mimetypes.guess_type(path, strict=False)
    return WorkspaceFile(
        path=path,
        name=path.rpartition("/")[2],
        size=len(found.data),
        updated_at_ms=found.updated_at_ms,
        mime_type=guessed or ("text/plain" if encoding == "utf8" else "application/octet-stream"),
        encoding=encoding,
        content=text,
    )
