"""One gateway per state directory: a lock file that also says where the gateway is.

Theory of operation: the running gateway holds an exclusive `flock` on `<state_dir>/gateway.lock`
for as long as it lives and writes one JSON object into it. The kernel drops the lock when the
process ends, however it ends, so a file that nobody holds is stale and may be taken over.

Guarantees: two processes never hold the lock of one path; `acquire` refuses at once, with the
holder's pid and port. Reading the file never needs the lock.
"""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

# An onlooker (`read_lock`) holds the lock for microseconds; a gateway holds it for good.
_ACQUIRE_PATIENCE_S: Final = 0.5
_ACQUIRE_STEP_S: Final = 0.02


class LastRestart(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """How the last restart of this line of processes went.

    Attributes:
        reason: why it was asked for; of one that failed, why it was rolled back.
    """

    at: int
    ok: bool
    reason: str = ""


class LockInfo(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the lock file says about its holder. `port` 0 and `url` "": not listening yet.

    Attributes:
        addresses: every URL the gateway can be reached at, `url` first.
        config_path: the configuration the gateway was started with.
        restarts_on: the signal that makes it hand over to a new process; empty: none does.
    """

    pid: int
    port: int
    started_at: int
    url: str = ""
    version: str = ""
    addresses: tuple[str, ...] = ()
    config_path: str = ""
    restarts_on: str = ""
    last_restart: LastRestart | None = None


@dataclass(frozen=True, slots=True)
class LockState:
    """A lock file as found. `info` is `None` when its content cannot be read."""

    path: Path
    info: LockInfo | None
    is_held: bool


class AlreadyRunning(Exception):
    """Another gateway holds the lock."""

    def __init__(self, path: Path, *, pid: int | None, port: int | None) -> None:
        self.path = path
        self.pid = pid
        self.port = port
        who = f"pid {pid}, port {port}" if pid else "its pid is not known"
        super().__init__(f"a gateway is already running for {path.parent} ({who})")


class Lock:
    """A held lock. Release it, or end the process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor

    def update(self, info: LockInfo) -> None:
        """Replace what the file says, for example when the port is known."""
        if self._descriptor is None:
            return
        content = msgspec.json.encode(info) + b"\n"
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))

    @property
    def path(self) -> Path:
        """The locked file."""
        return self._path

    @property
    def descriptor(self) -> int:
        """The locked file, to be inherited; -1 when it is released."""
        return -1 if self._descriptor is None else self._descriptor

    def leave(self) -> None:
        """Let go without removing the file: our successor holds the same lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def release(self) -> None:
        """Remove the file and let go. Safe to call twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._path.unlink(missing_ok=True)
            os.close(descriptor)


def acquire(path: Path, info: LockInfo) -> Lock:
    """Take the lock of `path` and write `info` into it.

    Raises:
        AlreadyRunning: a live process holds it.
        OSError: the file cannot be made.
    """
    deadline = time.monotonic() + _ACQUIRE_PATIENCE_S  # noqa: TID251 - before any clock exists
    while (descriptor := _try(path)) is None:
        if time.monotonic() > deadline:  # noqa: TID251 - as above
            holder = _content(path)
            raise AlreadyRunning(
                path,
                pid=holder.pid if holder else None,
                port=holder.port if holder else None,
            )
        time.sleep(_ACQUIRE_STEP_S)
    lock = Lock(path, descriptor)
    lock.update(info)
    return lock


def inherit(path: Path, descriptor: int) -> Lock:
    """Go on holding the lock that a predecessor took; the file keeps saying what it says.

    Raises:
        AlreadyRunning: the descriptor is not the lock of `path`.
        OSError: the descriptor is not open, or the file is gone.
    """
    ours, there = os.fstat(descriptor), path.stat()
    if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
        holder = _content(path)
        raise AlreadyRunning(
            path, pid=holder.pid if holder else None, port=holder.port if holder else None
        )
    os.set_inheritable(descriptor, False)
    return Lock(path, descriptor)


def read_lock(path: Path) -> LockState | None:
    """Say who holds the lock, or that the file is stale; `None` when there is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        is_held = False
    except BlockingIOError:
        is_held = True
    finally:
        os.close(descriptor)
    return LockState(path, _content(path), is_held)


def remove_stale(path: Path) -> bool:
    """Remove a lock file that nobody holds. Returns whether there was one."""
    state = read_lock(path)
    if state is None or state.is_held or (descriptor := _try(path)) is None:
        return False
    Lock(path, descriptor).release()
    return True


def _try(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The holder before us may have removed the file between our open and our lock.
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def _content(path: Path) -> LockInfo | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=LockInfo)
    except (OSError, msgspec.MsgspecError):
        return None
