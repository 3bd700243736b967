"""Bytes on disk under the hash of their content: `<folder>/<ab>/<sha256>`.

Theory of operation: bytes are written to a temporary file, flushed to the disk, and renamed to
their hash; only then does a row refer to them, so a crash leaves at most a file nobody refers to.
A file that is there already is touched instead. Touching and renaming happen under a shared lock,
deleting under an exclusive one, and nothing is deleted whose time is younger than `GRACE_S`: what
was touched is safe until long after the transaction that refers to it.

Guarantees: a path is made of a hash and nothing else; a file is there whole or not at all; the
folder and its files are for their owner only; it holds for several processes on one folder, as far
as the file system's `flock` does.

Not here: who refers to a file, how long it is kept (service.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from portico.clock import Clock

GRACE_S = 3_600.0
"""How long a file nobody refers to is left alone."""
CHUNK_BYTES = 1 << 20
_HASH = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = ".part-"


class TooLarge(Exception):
    """There are more bytes than may be kept."""


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes that are on the disk.

    Attributes:
        head: their beginning, to see what they are.
    """

    sha256: str
    size_bytes: int
    head: bytes


class Blobs:
    """A folder of files. Its methods work on the disk: call them in a thread."""

    def __init__(self, folder: Path, *, clock: Clock, grace_s: float = GRACE_S) -> None:
        self.folder = folder
        self._clock = clock
        self._grace_s = grace_s

    def put(self, pieces: Iterable[bytes], *, max_bytes: int, head_bytes: int) -> Written:
        """Keep bytes; when this returns they are on the disk, not only on their way.

        Raises:
            TooLarge: they are more than `max_bytes`; nothing is kept.
            ValueError: as the pieces raise it; nothing is kept.
            OSError: the disk does not take them.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        began = f"{_UNFINISHED}{self._clock.now_ms()}-"
        descriptor, name = tempfile.mkstemp(prefix=began, dir=self.folder)
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                written = _copied(pieces, file, max_bytes=max_bytes, head_bytes=head_bytes)
                file.flush()
                os.fsync(file.fileno())
            self._settle(unfinished, self._path(written.sha256))
        finally:
            unfinished.unlink(missing_ok=True)
        return written

    def read(self, sha256: str, *, max_bytes: int) -> bytes | None:
        """Return a file's bytes; `None`: it is gone, larger than that, or was never here."""
        path = self.find(sha256)
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                content = file.read(max_bytes + 1)
        except OSError:
            return None
        return content if len(content) <= max_bytes else None

    def find(self, sha256: str) -> Path | None:
        """Return where a file is; `None`: it is gone, or was never here."""
        if not _HASH.fullmatch(sha256):
            return None
        path = self._path(sha256)
        return path if path.is_file() and not path.is_symlink() else None

    def old(self) -> Iterator[str]:
        """Yield the hashes of files that may be deleted if nobody refers to them.

        What a crash has left unfinished is deleted on the way.
        """
        if not self.folder.is_dir():
            return
        for entry in os.scandir(self.folder):
            if entry.name.startswith(_UNFINISHED):
                if self._is_abandoned(entry.name):
                    Path(entry.path).unlink(missing_ok=True)
            elif len(entry.name) == 2 and entry.is_dir(follow_symlinks=False):
                for path in Path(entry.path).iterdir():
                    if _HASH.fullmatch(path.name) and self._is_old(path):
                        yield path.name

    def delete(self, sha256: str) -> bool:
        """Delete a file, unless it was touched of late; say whether it is gone by it."""
        path = self._path(sha256)
        with self._locked("exclusive"):
            if not self._is_old(path):
                return False
            path.unlink(missing_ok=True)
            return True

    def _settle(self, unfinished: Path, path: Path) -> None:
        """Put a file where it belongs, or say of the one there that it is needed."""
        is_new_folder = not path.parent.is_dir()
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with self._locked("shared"):
            if path.is_file():
                self._touch(path)
                return
            self._touch(unfinished)
            unfinished.replace(path)
        _flush(path.parent)
        if is_new_folder:
            _flush(self.folder)

    def _touch(self, path: Path) -> None:
        now_s = self._clock.now_ms() / 1000
        os.utime(path, (now_s, now_s))

    def _is_old(self, path: Path) -> bool:
        try:
            age_s = self._clock.now_ms() / 1000 - path.lstat().st_mtime
        except OSError:
            return False
        return age_s > self._grace_s

    def _is_abandoned(self, name: str) -> bool:
        """Whether nobody writes an unfinished file any more, by the time in its name."""
        began = name.removeprefix(_UNFINISHED).partition("-")[0]
        began_ms = int(began) if began.isdecimal() else 0
        return self._clock.now_ms() - began_ms > self._grace_s * 1000

    def _path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    @contextlib.contextmanager
    def _locked(self, how: Literal["shared", "exclusive"]) -> Iterator[None]:
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH if how == "shared" else fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def pieces_of(content: bytes) -> Iterator[bytes]:
    """Yield bytes in pieces, without another copy of the whole."""
    view = memoryview(content)
    for start in range(0, len(view), CHUNK_BYTES):
        yield bytes(view[start : start + CHUNK_BYTES])


def _copied(
    pieces: Iterable[bytes], file: IO[bytes], *, max_bytes: int, head_bytes: int
) -> Written:
    digest, size, head = hashlib.sha256(), 0, b""
    for piece in pieces:
        size += len(piece)
        if size > max_bytes:
            raise TooLarge
        digest.update(piece)
        if len(head) < head_bytes:
            head += piece[: head_bytes - len(head)]
        file.write(piece)
    return Written(digest.hexdigest(), size, head)


def _flush(folder: Path) -> None:
    """Have the names in a folder on the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
