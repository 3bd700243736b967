"""The pages of agents: files in the folder `canvas` of an agent's workspace.

    documents/<id>/index.html     a document with an id
    agents/<agent id>/<path>      a file of another agent than the default one
    <path>                        a file of the default agent

Guarantees: those of `agents.workspace.tree`: nothing outside of the folder, no links, nothing
hidden; no file larger than configured; a type is one of a short list, or bytes to download.

Not here: who may see them, and how they are kept apart (`web/canvas.py`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from portico.agents.workspace.tree import Content, Tree, UnsafePath
from portico.canvas.settings import CanvasSettings

FOLDER = "canvas"
INDEX = "index.html"
DOCUMENT_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,256}")
MAX_PATH_CHARS = 1_000
HTML = "text/html; charset=utf-8"
BYTES = "application/octet-stream"

_TYPES = {
    "html": HTML,
    "htm": HTML,
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "json": "application/json",
    "jsonl": "text/plain; charset=utf-8",
    "md": "text/plain; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "csv": "text/plain; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "ico": "image/x-icon",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "wasm": "application/wasm",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "wav": "audio/wav",
    "mp4": "video/mp4",
    "webm": "video/webm",
}


class NoSuchDocument(Exception):
    """There is nothing there that is shown."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads.

    Attributes:
        root: what is below it may be read; it need not exist.
        path: relative to the root.
    """

    agent_id: str
    root: Path
    path: str


@dataclass(frozen=True, slots=True)
class Document:
    """A file to be shown."""

    place: Place
    data: bytes
    media_type: str


class Documents:
    """Finds the files behind paths.

    Args:
        workspace_of: returns an agent's workspace; `None`: there is no such agent, or it has none.
        default_agent: returns the id of the default agent.
    """

    def __init__(
        self,
        *,
        workspace_of: Callable[[str], Path | None],
        default_agent: Callable[[], str],
        settings: CanvasSettings,
    ) -> None:
        self._workspace_of = workspace_of
        self._default_agent = default_agent
        self._settings = settings

    def folder(self, agent_id: str) -> tuple[Path, str]:
        """Return a directory that exists while the agent does, and its canvas relative to that.

        Raises:
            NoSuchDocument: there is no such agent, or it has no workspace.
        """
        if self._settings.root is not None and agent_id == self._default_agent():
            return self._settings.root, ""
        workspace = self._workspace_of(agent_id)
        if workspace is None:
            raise NoSuchDocument
        return workspace, f"{FOLDER}/"

    def place(self, path: str) -> Place:
        """Return where a path below the canvas leads; one that ends in a slash means its index.

        Raises:
            NoSuchDocument: nowhere.
        """
        agent_id, rest = self._default_agent(), path
        if path.startswith("agents/"):
            agent_id, slash, rest = path.removeprefix("agents/").partition("/")
            if not slash:
                raise NoSuchDocument
        if len(path) > MAX_PATH_CHARS:
            raise NoSuchDocument
        if not rest or rest.endswith("/"):
            rest += INDEX
        root, folder = self.folder(agent_id)
        return Place(agent_id, root, f"{folder}{rest}")

    async def load(self, path: str) -> Document:
        """Return the file a path leads to.

        Raises:
            NoSuchDocument: there is none that may be shown.
            TooLarge: it has more bytes than are shown.
        """
        place = self.place(path)
        found = await asyncio.to_thread(self._read, place)
        if found is None and (named := self._of_another(path)) is not None:
            place = named
            found = await asyncio.to_thread(self._read, place)
        if found is None:
            raise NoSuchDocument
        return Document(place, found.data, type_of(place.path))

    async def html(self, document_id: str) -> str:
        """Return a document's page.

        Raises:
            NoSuchDocument: there is none of this id.
            TooLarge: it has more bytes than are shown.
        """
        if not DOCUMENT_ID.fullmatch(document_id):
            raise NoSuchDocument
        document = await self.load(f"documents/{document_id}/{INDEX}")
        return document.data.decode("utf-8", "replace")

    def _of_another(self, path: str) -> Place | None:
        """Return where `documents/<agent id>.<id>/…` leads."""
        head, _, rest = path.partition("/")
        agent_id, dot, name = rest.partition(".")
        if head != "documents" or not dot or "/" in agent_id:
            return None
        try:
            return self.place(f"agents/{agent_id}/documents/{name}")
        except NoSuchDocument:
            return None

    def _read(self, place: Place) -> Content | None:
        try:
            return Tree(place.root).read(place.path, limit=self._settings.max_file_bytes)
        except (UnsafePath, OSError):
            return None


def type_of(path: str) -> str:
    """Return the type a file is served as."""
    return _TYPES.get(path.rpartition(".")[2].lower(), BYTES)
