"""The gateway's lock as clients of OpenClaw look for it: they prefer the port that stands there.

Guarantees: writing it never stops a gateway; it is removed only by the process it names. It is a
sign for others, not the lock (`portico.process.lock`).

Source: OpenClaw 2026.9, gateway lock: `<state>/tmp/openclaw-<uid>/gateway.state.lock`; an owner is
believed to live when its pid started at the time given, in clock ticks since boot (proc(5)).
"""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from portico.config.atomic import write_atomic
from portico.process.lock import LockInfo


class OpenClawLock(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What stands in the file."""

    pid: int
    created_at: str
    config_path: str
    port: int
    state_dir: str
    role: str = ""
    start_time: int | None = None


def path_of(state_dir: Path) -> Path:
    """Return where clients look."""
    return state_dir / "tmp" / f"openclaw-{os.getuid()}" / "gateway.state.lock"


def announce(state_dir: Path, info: LockInfo) -> None:
    """Say which gateway has the state directory."""
    made = datetime.fromtimestamp(info.started_at / 1000, UTC)
    content = OpenClawLock(
        pid=info.pid,
        created_at=made.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        config_path=info.config_path,
        port=info.port,
        state_dir=str(state_dir),
        role="gateway",
        start_time=start_time(info.pid),
    )
    path = path_of(state_dir)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(path, msgspec.json.encode(content).decode())


def withdraw(state_dir: Path, pid: int) -> None:
    """Remove what a process has said; what another one said stays."""
    path = path_of(state_dir)
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        if msgspec.json.decode(path.read_bytes(), type=OpenClawLock).pid == pid:
            path.unlink()


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; `None` where that is not told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(stat.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
