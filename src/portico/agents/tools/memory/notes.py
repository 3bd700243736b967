"""The files an agent's memory is: MEMORY.md, and a file of notes for each day.

Theory of operation: a note is a heading with the time and the text below it. What a turn noted
that had read untrusted text says so in the heading, and every line of it is quoted, so that nothing
in it can end the note and pass for another one. Whoever reads such a note has read untrusted text.

Guarantees: a file is whole or as it was; only files of the memory are read and written; sizes are
bounded.

Source: OpenClaw, memory files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from portico.agents.tools.contract import ToolError
from portico.agents.workspace.tree import TooLarge, Tree, UnsafePath

LASTING = "MEMORY.md"
FOLDER = "memory"
MAX_FILE_BYTES = 262_144
MAX_FILES = 1_000
MAX_ALL_BYTES = 4_000_000
OUTSIDE = "(from outside)"
_HEADING = re.compile(r"#{1,6}\s")
_OUTSIDE_HEADING = re.compile(rf"## .*{re.escape(OUTSIDE)}\s*")
_NAME = re.compile(rf"{FOLDER}/[^/]+\.md")


@dataclass(frozen=True, slots=True)
class NoteFile:
    """One file of the memory."""

    path: str
    text: str

    def lines(self) -> list[str]:
        """Return its lines, without their ends."""
        return self.text.splitlines()

    def outside(self) -> list[bool]:
        """Say of each line whether it holds text from outside."""
        marks, is_outside = [], False
        for line in self.lines():
            if _HEADING.match(line):
                is_outside = bool(_OUTSIDE_HEADING.fullmatch(line))
            marks.append(is_outside)
        return marks


def is_of_memory(path: str) -> bool:
    """Whether a path is one of the memory's."""
    return path == LASTING or bool(_NAME.fullmatch(path))


def every_file(tree: Tree) -> Iterator[NoteFile]:
    """Yield the files of the memory, the lasting one first, then the newest days; within bounds.

    Blocks.
    """
    entries = sorted(tree.list(FOLDER) or [], key=lambda entry: entry.name, reverse=True)
    paths = [LASTING, *(entry.path for entry in entries if is_of_memory(entry.path))]
    left = MAX_ALL_BYTES
    for path in paths[:MAX_FILES]:
        found = read(tree, path)
        if found is None:
            continue
        left -= len(found.text)
        if left < 0:
            return
        yield found


def read(tree: Tree, path: str) -> NoteFile | None:
    """Return a file of the memory; `None`: there is none that can be read. Blocks."""
    try:
        found = tree.read(path, limit=MAX_FILE_BYTES)
    except (UnsafePath, TooLarge, OSError):
        return None
    return None if found is None else NoteFile(path, found.data.decode("utf-8", "replace"))


def append(tree: Tree, text: str, *, is_lasting: bool, is_outside: bool, now_ms: int) -> str:
    """Add a note; return the path of its file. Blocks.

    Raises:
        ToolError: the file is full, or the note does not belong there.
        UnsafePath, OSError: it cannot be written.
    """
    if is_lasting and is_outside:
        raise ToolError("What comes from outside is noted among the notes of the day only.")
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    path = LASTING if is_lasting else f"{FOLDER}/{now:%Y-%m-%d}.md"
    tree.create() if is_lasting else tree.make(FOLDER)
    with tree.lock():
        known = tree.read(path, limit=MAX_FILE_BYTES)
        before = "" if known is None else known.data.decode("utf-8", "replace")
        data = f"{_apart(before)}{_note(text, now, is_outside=is_outside)}".encode()
        if len(data) > MAX_FILE_BYTES:
            raise ToolError(f"{path} is full ({MAX_FILE_BYTES} bytes): shorten it first.")
        tree.write(path, data)
    return path


def _apart(before: str) -> str:
    return f"{before.rstrip()}\n\n" if before.strip() else ""


def _note(text: str, now: datetime, *, is_outside: bool) -> str:
    heading = f"## {now:%Y-%m-%d %H:%M} UTC"
    if not is_outside:
        return f"{heading}\n\n{text.strip()}\n"
    quoted = "\n".join(f"> {line}" for line in text.strip().splitlines())
    return f"{heading} {OUTSIDE}\n\n{quoted}\n"
