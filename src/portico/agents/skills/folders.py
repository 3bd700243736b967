"""Finding skills in folders, and noticing when they change.

Theory of operation: each look walks the folders again, which costs a few system calls per skill;
what was read of a SKILL.md is kept as long as its time and size are the same.

Guarantees: a folder that is broken, too large or too deep is a `Trouble`, and the others are found
all the same; what a link leads to outside its root is not read; the walk is bounded.

Source: OpenClaw, "Loading order" and "Path containment".
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from portico.agents.skills.frontmatter import BrokenSkill, parse
from portico.agents.skills.model import FILE, Document, Origin, Skill, Source, Trouble

ORIGIN_FILE = ".portico-origin.json"
MAX_DEPTH = 6
MAX_ORIGIN_BYTES = 16_384
_PASSED_OVER = frozenset({"node_modules", "__pycache__", "__MACOSX"})

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Root:
    """A folder of skills; in a list of them the first wins."""

    path: Path
    source: Source


@dataclass(frozen=True, slots=True)
class FolderLimits:
    """How much is looked at.

    Attributes:
        max_folders: folders below one root.
        max_skills: skills taken from one root.
        max_file_bytes: the largest SKILL.md.
    """

    max_folders: int = 300
    max_skills: int = 200
    max_file_bytes: int = 256_000


@dataclass(frozen=True, slots=True)
class Found:
    """What one look found, by name."""

    skills: tuple[Skill, ...] = ()
    troubles: tuple[Trouble, ...] = ()


class Shelf:
    """The skills below one root."""

    def __init__(self, root: Root, limits: FolderLimits) -> None:
        self.root = root
        self._limits = limits
        self._read: dict[Path, tuple[Stamp, Document | str]] = {}

    def look(self) -> Found:
        """Return what is there now. It reads from the disk: call it in a thread."""
        skills: dict[str, Skill] = {}
        troubles: list[Trouble] = []
        before, self._read = self._read, {}
        for folder in self._folders(troubles):
            found = self._skill(folder, before)
            if isinstance(found, Trouble):
                troubles.append(found)
            elif found.name in skills:
                other = skills[found.name].folder.name
                troubles.append(Trouble(found.file, f"{other} has the same name, {found.name}"))
            elif len(skills) >= self._limits.max_skills:
                most = self._limits.max_skills
                troubles.append(Trouble(found.file, f"there are more than {most} skills"))
                break
            else:
                skills[found.name] = found
                troubles += [Trouble(found.file, w, False) for w in found.document.warnings]
        return Found(tuple(skills.values()), tuple(troubles))

    def _folders(self, troubles: list[Trouble]) -> Iterator[Path]:
        """Yield folders with a SKILL.md, in order; below such a folder no more are looked for."""
        top = self.root.path
        try:
            real = top.resolve(strict=True)
        except OSError:
            return
        waiting, seen = [(top, 0)], 0
        while waiting:
            folder, depth = waiting.pop()
            seen += 1
            if seen > self._limits.max_folders:
                most = self._limits.max_folders
                troubles.append(Trouble(top, f"only {most} folders below it were looked at"))
                return
            if not folder.resolve().is_relative_to(real):
                troubles.append(Trouble(folder, f"a link leads out of {top}"))
                continue
            if depth > 0 and (folder / FILE).exists():
                yield folder.resolve()
            elif depth < MAX_DEPTH:
                waiting += [(inner, depth + 1) for inner in reversed(_inner(folder))]

    def _skill(
        self, folder: Path, before: dict[Path, tuple[Stamp, Document | str]]
    ) -> Skill | Trouble:
        file = folder / FILE
        try:
            status = file.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            known = before.get(file)
            said = known[1] if known and known[0] == stamp else self._document(file)
        except OSError as error:
            return Trouble(file, f"it cannot be read: {error.strerror or error}")
        self._read[file] = (stamp, said)
        if isinstance(said, str):
            return Trouble(file, said)
        return Skill(said, folder, self.root.source, self._origin(folder))

    def _document(self, file: Path) -> Document | str:
        return read_document(
            file, folder_name=file.parent.name, max_bytes=self._limits.max_file_bytes
        )

    def _origin(self, folder: Path) -> Origin | None:
        return read_origin(folder) if self.root.source == "openclaw-managed" else None


def look(shelves: Iterable[Shelf]) -> Found:
    """Look at several roots; of two skills of one name the first counts."""
    skills: dict[str, Skill] = {}
    troubles: list[Trouble] = []
    for shelf in shelves:
        found = shelf.look()
        troubles += found.troubles
        for skill in found.skills:
            skills.setdefault(skill.name, skill)
    by_name = sorted(skills.values(), key=lambda skill: skill.name)
    return Found(tuple(by_name), tuple(troubles))


def read_document(file: Path, *, folder_name: str | None, max_bytes: int) -> Document | str:
    """Return what a SKILL.md declares, or what is wrong with it.

    Raises:
        OSError: it cannot be read.
    """
    if not file.resolve().is_relative_to(file.parent):
        return "it is a link that leads out of its folder"
    with file.open("rb") as stream:
        content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        return f"it is larger than {max_bytes} bytes"
    try:
        return parse(content.decode(), folder_name=folder_name)
    except UnicodeDecodeError:
        return "it is not UTF-8 text"
    except BrokenSkill as error:
        return str(error)


def read_origin(folder: Path) -> Origin | None:
    """Return from where a skill was installed; `None`: somebody put it there by hand."""
    try:
        with (folder / ORIGIN_FILE).open("rb") as file:
            return msgspec.json.decode(file.read(MAX_ORIGIN_BYTES), type=Origin)
    except (OSError, msgspec.MsgspecError):
        return None


def _inner(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return []
    kept = (name for name in names if not name.startswith(".") and name not in _PASSED_OVER)
    return [folder / name for name in sorted(kept)]
