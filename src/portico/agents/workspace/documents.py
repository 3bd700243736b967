"""The documents that make an agent what it is: AGENTS.md, SOUL.md and their kin.

Guarantees: only these names, never a path; a document is whole or as it was; with the hash of what
was read, a writer never overwrites what somebody else wrote meanwhile.

Source: OpenClaw gateway protocol, "agents.files.*".
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from portico.agents.workspace.starter import STARTERS
from portico.agents.workspace.tree import Content, TooLarge, Tree, UnsafePath

NAMES = ("AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md", "BOOTSTRAP.md", "MEMORY.md")
"""Shown whether they are there or not."""
OLDER_NAMES = ("TOOLS.md", "HEARTBEAT.md")
"""Shown when they are there."""
EXPECTED_ABSENT = frozenset({"BOOTSTRAP.md", "MEMORY.md", *OLDER_NAMES})
"""It is no fault when these are missing."""


class UnknownDocument(Exception):
    """No document has this name."""


class Conflict(Exception):
    """The document is not what the writer has read. `current`: the hash of what it is now."""

    def __init__(self, current: str | None) -> None:
        super().__init__()
        self.current = current


@dataclass(frozen=True, slots=True)
class Document:
    """One document; `size` and what follows are `None` when it is not there.

    Attributes:
        hash: SHA-256 of the bytes, in hexadecimal; of documents that were read.
    """

    name: str
    path: str
    size: int | None = None
    updated_at_ms: int | None = None
    hash: str | None = None
    content: str | None = None

    @property
    def is_missing(self) -> bool:
        """Whether it is not there."""
        return self.size is None


class Documents:
    """The documents of one workspace. Everything here blocks: call it in a thread.

    Args:
        limit: the largest document in bytes.
    """

    def __init__(self, workspace: Path, *, limit: int) -> None:
        self._tree = Tree(workspace)
        self._limit = limit

    def list(self) -> list[Document]:
        """Return every document, without the contents."""
        found = [self._described(name) for name in (*NAMES, *OLDER_NAMES)]
        return [one for one in found if one.name in NAMES or not one.is_missing]

    def _described(self, name: str) -> Document:
        path = str(self._tree.root / name)
        try:
            entry = self._tree.stat(name)
        except UnsafePath:  # what cannot be read is not there
            entry = None
        if entry is None or entry.kind != "file":
            return Document(name, path)
        return Document(name, path, entry.size, entry.updated_at_ms)

    def get(self, name: str) -> Document:
        """Return one document with its content.

        Raises:
            UnknownDocument, UnsafePath, TooLarge: it cannot be had.
        """
        path = str(self._tree.root / _known(name))
        found = self._tree.read(name, limit=self._limit)
        return Document(name, path) if found is None else _read(name, path, found)

    def set(self, name: str, content: str, *, expected: str | None = None) -> Document:
        """Write one document, making the workspace if it is not there.

        Args:
            expected: the hash of what the writer has read; `None`: whatever is there.

        Raises:
            Conflict: the document is another one by now.
            UnknownDocument, UnsafePath: it cannot be written.
            TooLarge: the content is larger than the limit.
        """
        data = content.encode()
        if len(data) > self._limit:
            raise TooLarge(len(data), self._limit)
        path = str(self._tree.root / _known(name))
        self._tree.create()
        with self._tree.lock():
            if expected is not None:
                self._compare(name, expected)
            entry = self._tree.write(name, data)
        return _read(name, path, Content(data, entry.updated_at_ms))

    def _compare(self, name: str, expected: str) -> None:
        found = self._tree.read(name, limit=self._limit)
        current = None if found is None else hash_of(found.data)
        if current != expected.lower():
            raise Conflict(current)

    def start(self) -> tuple[str, ...]:
        """Make the workspace with its first documents, unless it is there; return their names.

        Raises:
            OSError: it cannot be made.
        """
        if not self._tree.create():
            return ()
        for name, content in STARTERS.items():
            self._tree.write(name, content.encode())
        return (*STARTERS,)

    def undo_start(self, names: tuple[str, ...]) -> None:
        """Take back what `start` made; a workspace that has more in it stays."""
        with contextlib.suppress(OSError):
            for name in names:
                self._tree.remove(name)
            if names:
                self._tree.root.rmdir()


def hash_of(data: bytes) -> str:
    """Return the hash that names a content."""
    return hashlib.sha256(data).hexdigest()


def _known(name: str) -> str:
    if name not in NAMES and name not in OLDER_NAMES:
        raise UnknownDocument(name)
    return name


def _read(name: str, path: str, found: Content) -> Document:
    text = found.data.decode("utf-8", "replace")
    return Document(name, path, len(found.data), found.updated_at_ms, hash_of(found.data), text)
