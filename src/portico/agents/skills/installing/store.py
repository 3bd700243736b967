"""The folder of installed skills: putting them in, taking them out.

Theory of operation: a skill is made ready in a hidden folder beside the others, read as any skill
is, and moved to its place as a whole. A skill that is replaced is moved aside first; whoever finds
one aside and none in its place, after a crash, moves it back.

Guarantees: a skill is there whole, or as it was before; two installations, of other processes too,
do not disturb each other; where a skill came from is written down by us and never by it.

Not here: who may install what (rpc.py, the command line).
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec

from portico.agents.skills.folders import ORIGIN_FILE, FolderLimits, read_document
from portico.agents.skills.installing.archive import (
    BadArchive,
    SizeLimits,
    copy_folder,
    unpack,
)
from portico.agents.skills.model import FILE, Document, Origin, Skill, is_skill_name
from portico.clock import Clock
from portico.config.atomic import directory_lock

_NEW, _OLD = ".new-", ".old-"


class NotInstalled(Exception):
    """It was not installed, and everything is as before; the text says why."""


class AlreadyThere(NotInstalled):
    """There is a skill of this name; it may be replaced if the operator says so."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What was put in.

    Attributes:
        replaced: there was one of this name before.
    """

    skill: Skill
    replaced: bool


class SkillStore:
    """The folder of installed skills. Its methods work on the disk: call them in a thread."""

    def __init__(
        self, folder: Path, *, clock: Clock, sizes: SizeLimits, limits: FolderLimits
    ) -> None:
        self.folder = folder
        self._clock = clock
        self._sizes = sizes
        self._limits = limits

    @property
    def sizes(self) -> SizeLimits:
        """How large a skill may be."""
        return self._sizes

    def put_path(self, path: Path, *, name: str | None = None, force: bool = False) -> Installed:
        """Install a folder or an archive of this machine.

        Args:
            name: what its folder is to be called; else it is called what the skill is.
            force: replace one of the same name.

        Raises:
            NotInstalled: it is no skill, or there is one already.
        """
        origin = Origin("path", str(path), self._clock.now_ms())
        if path.is_dir():
            return self._put(
                lambda into: copy_folder(path, into, self._sizes), origin, name, force=force
            )
        content = _content(path, self._sizes.max_bytes)
        return self.put_archive(content, origin, name=name, force=force)

    def put_archive(
        self,
        content: bytes,
        origin: Origin,
        *,
        name: str | None = None,
        force: bool = False,
        sha256: str | None = None,
    ) -> Installed:
        """Install an archive.

        Args:
            sha256: what the archive must hash to, in hexadecimal.

        Raises:
            NotInstalled: it is another archive, no skill, or there is one already.
        """
        digest = hashlib.sha256(content).hexdigest()
        if sha256 is not None and sha256.lower() != digest:
            raise NotInstalled(f"It is not the archive that was meant: its SHA-256 is {digest}.")
        known = Origin(origin.kind, shown(origin.reference), origin.installed_at, digest)
        return self._put(lambda into: unpack(content, into, self._sizes), known, name, force=force)

    def remove(self, name: str) -> bool:
        """Take a skill out; `False`: there is none of this name."""
        if not is_skill_name(name) or not self.folder.is_dir():
            return False
        with directory_lock(self.folder):
            place = self.folder / name
            if not (place / FILE).is_file() or place.is_symlink():
                return False
            place.rename(self.folder / f"{_NEW}{name}")
            self._tidy()
        return True

    def _put(
        self, fill: Callable[[Path], None], origin: Origin, name: str | None, *, force: bool
    ) -> Installed:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with directory_lock(self.folder):
            self._tidy()
            stage = Path(tempfile.mkdtemp(prefix=_NEW, dir=self.folder))
            try:
                fill(stage)
                return self._place(stage, origin, name, force=force)
            except BadArchive as error:
                raise NotInstalled(f"It was not installed: {error}.") from None
            except OSError as error:
                raise NotInstalled(f"It was not installed: {error.strerror or error}.") from None
            finally:
                shutil.rmtree(stage, ignore_errors=True)

    def _place(self, stage: Path, origin: Origin, name: str | None, *, force: bool) -> Installed:
        """Read what was unpacked, and move it to its place."""
        folder, document = self._read(stage)
        called = name or document.name
        if not is_skill_name(called):
            raise NotInstalled(f"{called[:80]!r} is no name for a skill.")
        place, aside = self.folder / called, self.folder / f"{_OLD}{called}"
        replaced = place.exists() or place.is_symlink()
        if replaced and not force:
            raise AlreadyThere(f"There is a skill {called} already.")
        (folder / ORIGIN_FILE).write_bytes(msgspec.json.encode(origin))
        folder.chmod(0o755)
        if replaced:
            place.rename(aside)
        folder.rename(place)
        if replaced:
            _delete(aside)
        return Installed(Skill(document, place, "openclaw-managed", origin), replaced)

    def _read(self, stage: Path) -> tuple[Path, Document]:
        """Return the one skill in a folder, or in the one folder in it."""
        inner = [path for path in stage.iterdir() if path.is_dir()]
        is_top = (stage / FILE).is_file()
        if not is_top and (len(inner) != 1 or not (inner[0] / FILE).is_file()):
            raise NotInstalled(f"It was not installed: it has no {FILE} at its top.")
        folder = stage if is_top else inner[0]
        document = read_document(
            folder / FILE,
            folder_name=None if is_top else folder.name,
            max_bytes=self._limits.max_file_bytes,
        )
        if isinstance(document, str):
            raise NotInstalled(f"It was not installed: {FILE}: {document}.")
        return folder, document

    def _tidy(self) -> None:
        """Finish what a crash has left; the lock says that nobody else is at it."""
        for path in self.folder.glob(f"{_NEW}*"):
            _delete(path)
        for path in self.folder.glob(f"{_OLD}*"):
            place = self.folder / path.name.removeprefix(_OLD)
            if place.exists():
                _delete(path)
            else:
                path.rename(place)


def shown(reference: str) -> str:
    """Return an address without a password or a query, as it may be kept and shown."""
    parts = urlsplit(reference)
    if not parts.scheme:
        return reference
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _content(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise NotInstalled(f"{path} cannot be read: {error.strerror or error}.") from None
    if len(content) > most:
        raise NotInstalled(f"{path} is larger than {most} bytes.")
    return content


def _delete(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)
