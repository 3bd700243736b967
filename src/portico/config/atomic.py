"""Replacing a small file so that a reader sees the old text or the new one, never a mixture.

Guarantees: after `write_atomic` returns, the new text survives a power cut; before it returns, a
crash leaves the old file whole. The file is private (0600) unless asked otherwise.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no flock; edits there are not serialised
    fcntl = None  # type: ignore[assignment]  # the absence is the information

if TYPE_CHECKING:
    from collections.abc import Iterator


def write_atomic(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write `text` beside `path`, flush it to disk, rename it over `path`, flush the directory."""
    import tempfile

    target = path.resolve()  # a symlinked config stays a symlink
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".new")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_directory(target.parent)


@contextlib.contextmanager
def directory_lock(directory: Path) -> Iterator[None]:
    """Hold the directory's advisory lock, so that two writers do not lose each other's edit."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
