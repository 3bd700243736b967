"""Searching a folder of Markdown with our own ranking, and reading its notes.

Guarantees: those of `agents.workspace.tree`: nothing outside of the folder, no links, nothing
hidden; the folder is read within bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from portico.agents.brain.model import NoteFound, NotesUnavailable
from portico.agents.tools.memory.notes import NoteFile
from portico.agents.tools.memory.search import search as ranked
from portico.agents.workspace.tree import Entry, TooLarge, Tree, UnsafePath

MAX_FILES = 2_000
MAX_FILE_BYTES = 262_144
MAX_ALL_BYTES = 8_000_000
MAX_DEPTH = 8
SNIPPET_CHARS = 1_200
SUFFIXES = (".md", ".markdown", ".txt")


def search(folder: Path, query: str, most: int) -> list[NoteFound]:
    """Return the passages that fit a question best. Blocks.

    Raises:
        NotesUnavailable: the folder cannot be read.
    """
    tree = _tree(folder)
    return [
        NoteFound(
            path=one.passage.path,
            line=one.passage.start_line,
            snippet=one.passage.text[:SNIPPET_CHARS],
            score=round(one.score, 3),
        )
        for one in ranked(_notes(tree), query, most=most)
    ]


def read(folder: Path, path: str) -> str | None:
    """Return a note; `None`: there is none of that name. Blocks.

    Raises:
        NotesUnavailable: the folder cannot be read.
    """
    tree = _tree(folder)
    if not path.endswith(SUFFIXES):
        return None
    note = _note(tree, path)
    return None if note is None else note.text


def _tree(folder: Path) -> Tree:
    if not folder.is_dir():
        raise NotesUnavailable(f"The folder of notes is not there: {folder}.")
    return Tree(folder)


def _notes(tree: Tree) -> Iterator[NoteFile]:
    """Yield the notes, folder by folder, within bounds."""
    left_bytes, left_files = MAX_ALL_BYTES, MAX_FILES
    waiting: list[tuple[str, int]] = [("", 0)]
    while waiting:
        path, depth = waiting.pop(0)
        for entry in _entries(tree, path):
            if entry.kind == "directory" and depth < MAX_DEPTH:
                waiting.append((entry.path, depth + 1))
            elif entry.kind == "file" and entry.name.endswith(SUFFIXES):
                left_files -= 1
                left_bytes -= entry.size
                if left_files < 0 or left_bytes < 0:
                    return
                if (note := _note(tree, entry.path)) is not None:
                    yield note


def _entries(tree: Tree, path: str) -> list[Entry]:
    try:
        return sorted(tree.list(path) or [], key=lambda entry: entry.name)
    except (UnsafePath, OSError):
        return []


def _note(tree: Tree, path: str) -> NoteFile | None:
    try:
        found = tree.read(path, limit=MAX_FILE_BYTES)
    except (UnsafePath, TooLarge, OSError):
        return None
    return None if found is None else NoteFile(path, found.data.decode("utf-8", "replace"))
