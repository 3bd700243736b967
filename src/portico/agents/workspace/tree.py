"""Files below one directory, and nothing outside of it.

Theory of operation: every step of a path is opened from the directory before it, without following
links, so what is read or written is below the root even while somebody moves things about. The
root itself may be a link: the operator chose it.

Guarantees: no link is followed, no file with a second name (a hard link) is read or written, no
device or pipe is opened; hidden names are not there. A written file is whole or as it was, also
after a power cut. Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from portico.ids import new_id

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no flock; writers there are not serialised
    fcntl = None  # type: ignore[assignment]  # the absence is the information

MAX_ENTRIES = 10_000
"""How much of one directory is looked at."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PRIVATE_FILE = 0o600
_PRIVATE_DIRECTORY = 0o700


class UnsafePath(Exception):
    """What a path names is not a file of the tree; the text says why."""


class TooLarge(Exception):
    """A file is larger than it may be."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"{size} bytes; the limit is {limit}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or directory. `path` is relative to the root, with slashes."""

    path: str
    name: str
    kind: Literal["file", "directory"]
    size: int
    updated_at_ms: int


@dataclass(frozen=True, slots=True)
class Content:
    """A file that was read."""

    data: bytes
    updated_at_ms: int


class Tree:
    """The files below a directory, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self) -> bool:
        """Make the directory; return whether it was not there.

        Raises:
            OSError: it cannot be made.
        """
        if self.root.is_dir():
            return False
        try:
            self.root.mkdir(mode=_PRIVATE_DIRECTORY, parents=True)
        except FileExistsError:  # somebody else has just made it, or it is a file
            if not self.root.is_dir():
                raise
            return False
        return True

    def make(self, path: str) -> None:
        """Make a directory and those on the way to it, where there are none.

        Raises:
            UnsafePath: something else is in its place.
        """
        self.create()
        at = os.open(self.root, _DIRECTORY)
        try:
            for part in split(path):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, _PRIVATE_DIRECTORY, dir_fd=at)
                at, before = _enter_or_refuse(at, part), at
                os.close(before)
        finally:
            os.close(at)

    def stat(self, path: str) -> Entry | None:
        """Say what is at a path; `None`: nothing.

        Raises:
            UnsafePath: something that is neither a plain file nor a directory.
        """
        parts = split(path)
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            self._open(parts[:-1]) as at,
        ):
            return _entry(path, os.stat(parts[-1], dir_fd=at, follow_symlinks=False))
        return None

    def read(self, path: str, *, limit: int) -> Content | None:
        """Return a file; `None`: there is none.

        Raises:
            UnsafePath: it is not a plain file of the tree.
            TooLarge: it has more than `limit` bytes.
        """
        parts = split(path)
        try:
            with self._open(parts[:-1]) as at:
                return _read(at, parts[-1], limit)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, path: str, data: bytes) -> Entry:
        """Put a file in place of another, or of none.

        Raises:
            UnsafePath: something else is in its place.
        """
        parts = split(path)
        with self._open(parts[:-1]) as at:
            mode = _mode_of(at, parts[-1])
            _write(at, parts[-1], data, mode)
            return _entry(path, os.stat(parts[-1], dir_fd=at, follow_symlinks=False))

    def remove(self, path: str) -> None:
        """Remove a file; nothing happens when there is none."""
        parts = split(path)
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            self._open(parts[:-1]) as at,
        ):
            os.unlink(parts[-1], dir_fd=at)

    def list(self, path: str = "") -> list[Entry] | None:
        """Return what is in a directory, directories first, then by name; `None`: there is none.

        Raises:
            UnsafePath: the path is not one of the tree.
        """
        parts = split(path) if path else ()
        try:
            with self._open(parts) as at:
                found = [*_listed(at, "/".join(parts))]
        except (FileNotFoundError, NotADirectoryError):
            return None
        return sorted(found, key=lambda entry: (entry.kind != "directory", entry.name))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other writers away who lock as well, in this process or another."""
        with self._open(()) as at:
            if fcntl is not None:
                fcntl.flock(at, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _open(self, parts: tuple[str, ...]) -> Iterator[int]:
        at = os.open(self.root, _DIRECTORY)
        try:
            for part in parts:
                at, before = _enter(at, part), at
                os.close(before)
            yield at
        finally:
            os.close(at)


def split(path: str) -> tuple[str, ...]:
    """Return the steps of a relative path.

    Raises:
        UnsafePath: it is not relative, leads upwards, or names something hidden.
    """
    parts = tuple(path.split("/"))
    if "\0" in path or "\\" in path or not all(parts):
        raise UnsafePath("not a relative path")
    if any(part.startswith(".") for part in parts):
        raise UnsafePath("hidden files are not shown")
    return parts


def _enter(at: int, part: str) -> int:
    try:
        return os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR} and stat.S_ISLNK(
            os.stat(part, dir_fd=at, follow_symlinks=False).st_mode
        ):
            raise UnsafePath("links are not followed") from None
        raise


def _enter_or_refuse(at: int, part: str) -> int:
    try:
        return _enter(at, part)
    except NotADirectoryError:
        raise UnsafePath("a file is in the place of a directory") from None


def _entry(path: str, found: os.stat_result) -> Entry:
    _check(found, directory_too=True)
    is_directory = stat.S_ISDIR(found.st_mode)
    return Entry(
        path=path,
        name=path.rpartition("/")[2],
        kind="directory" if is_directory else "file",
        size=0 if is_directory else found.st_size,
        updated_at_ms=found.st_mtime_ns // 1_000_000,
    )


def _check(found: os.stat_result, *, directory_too: bool = False) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise UnsafePath("links are not followed")
    if directory_too and stat.S_ISDIR(found.st_mode):
        return
    if not stat.S_ISREG(found.st_mode):
        raise UnsafePath("not a plain file")
    if found.st_nlink > 1:
        raise UnsafePath("the file has a second name elsewhere")


def _read(at: int, name: str, limit: int) -> Content:
    try:
        file = os.open(name, _FILE, dir_fd=at)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnsafePath(_reason(at, name, error)) from None
    try:
        found = os.fstat(file)
        _check(found)
        _check_size(found.st_size, limit)
    except BaseException:
        os.close(file)
        raise
    with os.fdopen(file, "rb") as stream:
        data = stream.read(limit + 1)
    _check_size(len(data), limit)  # it may have grown meanwhile
    return Content(data, found.st_mtime_ns // 1_000_000)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge(size, limit)


def _reason(at: int, name: str, error: OSError) -> str:
    found = os.stat(name, dir_fd=at, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        return "links are not followed"
    return error.strerror or "cannot be read"


def _mode_of(at: int, name: str) -> int:
    try:
        found = os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return _PRIVATE_FILE
    _check(found)
    return stat.S_IMODE(found.st_mode)


def _write(at: int, name: str, data: bytes, mode: int) -> None:
    beside = f".{new_id('new')}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(beside, flags, _PRIVATE_FILE, dir_fd=at)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(beside, name, src_dir_fd=at, dst_dir_fd=at)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=at)
        raise
    os.fsync(at)


def _listed(at: int, prefix: str) -> Iterator[Entry]:
    with os.scandir(at) as entries:
        for count, entry in enumerate(entries):
            if count == MAX_ENTRIES:
                return
            if entry.name.startswith(".") or "\\" in entry.name:
                continue
            path = f"{prefix}/{entry.name}" if prefix else entry.name
            with contextlib.suppress(UnsafePath, FileNotFoundError):
                yield _entry(path, entry.stat(follow_symlinks=False))
