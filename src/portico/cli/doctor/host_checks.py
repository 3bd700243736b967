"""Checks of the machine: Python, disk, the state directory, the lock file, the port."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from portico.cli.doctor.model import Finding, Level, Patient, fine
from portico.process.lock import read_lock, remove_stale

_OLDEST_PYTHON: Final = (3, 11)
_LITTLE_BYTES: Final = 500_000_000
_TOO_LITTLE_BYTES: Final = 50_000_000
_LISTEN: Final = "0A"  # the state in /proc/net/tcp


def python_version(patient: Patient) -> Iterator[Finding]:
    """Is this Python new enough?"""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] >= _OLDEST_PYTHON:
        yield fine("host.python", f"Python {version}")
    else:
        yield Finding(
            check="host.python",
            level=Level.ERROR,
            message=f"Python {version} is too old",
            explanation="The gateway uses what came with Python 3.11.",
            next_step="Build the environment again with a newer one: make PYTHON=python3.12 setup",
        )


def state_writable(patient: Patient) -> Iterator[Finding]:
    """Can the gateway write its state?"""
    directory = nearest_existing(patient.paths.state_dir)
    if os.access(directory, os.W_OK | os.X_OK):
        yield fine("host.state", f"{patient.paths.state_dir} can be written")
    else:
        yield Finding(
            check="host.state",
            level=Level.ERROR,
            message=f"{directory} cannot be written by this account",
            explanation="The database, the log and the lock file live there.",
            next_step="Own it (chown), or use another: --state-dir DIR",
        )


def disk_space(patient: Patient) -> Iterator[Finding]:
    """Is there room for the database?"""
    free = shutil.disk_usage(nearest_existing(patient.paths.state_dir)).free
    room = f"{free / 1e9:.1f} GB free"
    if free > _LITTLE_BYTES:
        yield fine("host.disk", room)
        return
    yield Finding(
        check="host.disk",
        level=Level.ERROR if free < _TOO_LITTLE_BYTES else Level.WARNING,
        message=f"only {room} where {patient.paths.state_dir} is",
        explanation="On a full disk no message can be accepted.",
        next_step="Make room, or use another disk: --state-dir DIR",
    )


def lock_file(patient: Patient) -> Iterator[Finding]:
    """Did a gateway leave its lock file behind?"""
    path = patient.paths.lock_file
    state = read_lock(path)
    if state is None:
        yield fine("lock", "no gateway holds the lock")
    elif state.is_held:
        pid = state.info.pid if state.info else "unknown"
        yield fine("lock", f"held by the running gateway (pid {pid})")
    else:

        def apply() -> str:
            return f"removed {path}" if remove_stale(path) else f"{path} is gone already"

        yield Finding(
            check="lock",
            level=Level.WARNING,
            message=f"{path} was left behind by a gateway that was killed",
            explanation="The next start takes it over; until then other tools may be misled.",
            next_step=f"rm {path}",
            fix=apply,
        )


def port_free(patient: Patient) -> Iterator[Finding]:
    """Can the gateway have its port?"""
    if patient.loaded.config is None:
        return
    port = patient.loaded.config.gateway.port
    state = read_lock(patient.paths.lock_file)
    if state is not None and state.is_held:
        yield fine("port", "the gateway has its port")
    elif port == 0 or not is_taken(port):
        yield fine("port", f"port {port} is free")
    else:
        yield Finding(
            check="port",
            level=Level.ERROR,
            message=f"port {port} is taken by {owner_name(port)}",
            explanation="Only one program can listen on a port.",
            next_step=f"Stop it, or use another port: portico config set gateway.port {port + 1}",
        )


def is_taken(port: int) -> bool:
    """Whether something listens on the port of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def port_owner(port: int) -> tuple[int, str] | None:
    """Pid and name of who listens on a port; `None` where /proc does not tell."""
    inodes = {inode for table in ("tcp", "tcp6") for inode in _listeners(table, port)}
    for link in Path("/proc").glob("[0-9]*/fd/*") if inodes else ():
        try:
            target = str(link.readlink())
            if target.startswith("socket:[") and target[8:-1] in inodes:
                process = link.parent.parent
                return int(process.name), (process / "comm").read_text().strip()
        except OSError:
            continue  # not ours to see, or gone
    return None


def _listeners(table: str, port: int) -> Iterator[str]:
    try:
        lines = Path("/proc/net", table).read_text().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
            yield fields[9]


def owner_name(port: int) -> str:
    """Who listens on a port, for people."""
    owner = port_owner(port)
    return f"{owner[1]} (pid {owner[0]})" if owner else "another program"


def nearest_existing(path: Path) -> Path:
    """The path itself, or the closest parent that exists."""
    while not path.exists():
        path = path.parent
    return path
