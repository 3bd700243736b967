"""Unpacking what somebody else has packed, into a fresh folder.

Guarantees: only plain files and folders, below the folder, whose names lead nowhere else; no links,
no devices, no two files that another file system would take for one; no more files and bytes than
the limits say, counted as they are written and not as the archive claims; what is read to find
that out is bounded too. Whatever the archive is, the end is a folder or `BadArchive`.

Not here: who may install what.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from portico.agents.skills.folders import ORIGIN_FILE

CHUNK_BYTES = 65_536
MAX_DEPTH = 12
MAX_NAME_CHARS = 200
_TAR_SLACK_BYTES = 2_048  # headers and padding of one member
_ZIP_ENTRY_BYTES = 512  # of the directory of a zip file, of one member
_SPARED = frozenset({".git", "__pycache__", "__MACOSX", ".DS_Store", ORIGIN_FILE})


class BadArchive(Exception):
    """It is not unpacked; the text says why."""


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """How large a skill may be.

    Attributes:
        max_files: files and folders.
        max_bytes: of all files together, and of the archive.
    """

    max_files: int = 256
    max_bytes: int = 8 * 1024 * 1024


class _Room:
    """The folder that is filled, and how much still fits in."""

    def __init__(self, folder: Path, limits: SizeLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._files = 0
        self._bytes = 0
        self._names: set[str] = set()

    def add_folder(self, name: str) -> None:
        """Make a folder."""
        parts = _parts(name)
        if parts:
            self._count_one(parts, is_folder=True)
            self._folder.joinpath(*parts).mkdir(parents=True, exist_ok=True)

    def add_file(self, name: str, content: IO[bytes], *, is_program: bool) -> None:
        """Write a file."""
        parts = _parts(name)
        if not parts or not _SPARED.isdisjoint(parts):
            return
        self._count_one(parts, is_folder=False)
        path = self._folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            while chunk := content.read(CHUNK_BYTES):
                self._bytes += len(chunk)
                if self._bytes > self._limits.max_bytes:
                    raise BadArchive(f"it holds more than {self._limits.max_bytes} bytes")
                file.write(chunk)
        path.chmod(0o755 if is_program else 0o644)

    def _count_one(self, parts: tuple[str, ...], *, is_folder: bool) -> None:
        self._files += 1
        if self._files > self._limits.max_files:
            raise BadArchive(f"it holds more than {self._limits.max_files} files")
        same = unicodedata.normalize("NFC", "/".join(parts)).casefold()
        if same in self._names and not is_folder:
            raise BadArchive(f"it holds {_shown('/'.join(parts))} twice")
        self._names.add(same)


def unpack(content: bytes, into: Path, limits: SizeLimits) -> None:
    """Unpack a .zip or .tar.gz into an empty folder.

    Raises:
        BadArchive: it is neither, or something in it is not as it should be.
    """
    if len(content) > limits.max_bytes:
        raise BadArchive(f"it is larger than {limits.max_bytes} bytes")
    room = _Room(into, limits)
    with _said():
        if content.startswith(b"PK"):
            _unzip(content, room, limits)
        elif content.startswith(b"\x1f\x8b"):
            _untar(content, room, limits)
        else:
            raise BadArchive("it is neither a .zip nor a .tar.gz")


def copy_folder(source: Path, into: Path, limits: SizeLimits) -> None:
    """Copy a folder into an empty one, under the same rules.

    Raises:
        BadArchive: something in it is not as it should be, or cannot be read.
    """
    room = _Room(into, limits)
    with _said():
        for path, entry in _entries(source):
            if entry.is_symlink():
                raise BadArchive(f"{_shown(path)} is a link")
            if entry.is_dir(follow_symlinks=False):
                room.add_folder(path)
            elif entry.is_file(follow_symlinks=False):
                mode = entry.stat(follow_symlinks=False).st_mode
                descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW)
                with os.fdopen(descriptor, "rb") as file:
                    room.add_file(path, file, is_program=bool(mode & stat.S_IXUSR))
            else:
                raise BadArchive(f"{_shown(path)} is neither a file nor a folder")


def _entries(top: Path, below: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(top / below) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name in _SPARED:
            continue
        path = f"{below}/{entry.name}" if below else entry.name
        yield path, entry
        if entry.is_dir(follow_symlinks=False) and path.count("/") < MAX_DEPTH:
            yield from _entries(top, path)


def _unzip(content: bytes, room: _Room, limits: SizeLimits) -> None:
    import zipfile

    if _zip_directory_bytes(content) > limits.max_files * _ZIP_ENTRY_BYTES:
        raise BadArchive(f"it holds more than {limits.max_files} files")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise BadArchive(f"{_shown(member.filename)} is neither a file nor a folder")
            if member.flag_bits & 0x1:
                raise BadArchive("it is encrypted")
            if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise BadArchive("it is packed in an unusual way; pack it with deflate")
            if member.is_dir():
                room.add_folder(member.filename)
            else:
                program = bool((member.external_attr >> 16) & stat.S_IXUSR)
                with archive.open(member) as file:
                    room.add_file(member.filename, file, is_program=program)


def _zip_directory_bytes(content: bytes) -> int:
    """Return how long the list of members is, which is read as a whole before anything else."""
    at = content.rfind(b"PK\x05\x06")
    if at < 0 or len(content) < at + 22:
        raise BadArchive("it is damaged")
    if content[at - 20 : at].startswith(b"PK\x06\x07"):
        raise BadArchive("it is packed in an unusual way; pack it without ZIP64")
    size: int = struct.unpack_from("<I", content, at + 12)[0]
    return size


def _untar(content: bytes, room: _Room, limits: SizeLimits) -> None:
    import tarfile

    most = limits.max_bytes + (limits.max_files + 16) * _TAR_SLACK_BYTES
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as unzipped:
        stream: Any = _Bounded(unzipped, most)
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if member.isdir():
                    room.add_folder(member.name)
                elif member.type in {tarfile.REGTYPE, tarfile.AREGTYPE}:
                    file = archive.extractfile(member)
                    if file is not None:
                        program = bool(member.mode & stat.S_IXUSR)
                        room.add_file(member.name, file, is_program=program)
                else:
                    raise BadArchive(f"{_shown(member.name)} is neither a file nor a folder")


class _Bounded:
    """A stream that ends with an error after so many bytes: a small file unpacks to anything."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, most: int) -> None:
        self._stream = stream
        self._left = most

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes."""
        chunk = self._stream.read(min(size, CHUNK_BYTES))
        self._left -= len(chunk)
        if self._left < 0:
            raise BadArchive("it unpacks to more than a skill may have")
        return chunk


def _parts(name: str) -> tuple[str, ...]:
    """Return the parts of a member's name.

    Raises:
        BadArchive: it leads, or might on some system lead, out of the folder.
    """
    path = PurePosixPath(name)
    is_odd = any(ord(c) < 0x20 or c in '\\:*?"<>|\x7f' for c in name)
    if not name or path.is_absolute() or ".." in path.parts or is_odd:
        raise BadArchive(f"{_shown(name)} is no name for a file of a skill")
    if len(path.parts) > MAX_DEPTH or any(len(part) > MAX_NAME_CHARS for part in path.parts):
        raise BadArchive(f"{_shown(name)} is too deep or too long")
    return path.parts


def _shown(name: str) -> str:
    return repr(name if len(name) <= MAX_NAME_CHARS else f"{name[:MAX_NAME_CHARS]}…")


@contextmanager
def _said() -> Iterator[None]:
    """Turn whatever a damaged archive leads to into `BadArchive`."""
    import tarfile
    import zipfile

    try:
        yield
    except (zipfile.BadZipFile, zlib.error, tarfile.TarError, EOFError, struct.error) as error:
        raise BadArchive(f"it is damaged: {error}") from None
    except OSError as error:
        raise BadArchive(f"it cannot be unpacked: {error.strerror or error}") from None
    except (ValueError, NotImplementedError, RuntimeError, OverflowError) as error:
        raise BadArchive(f"it is damaged: {error}") from None
