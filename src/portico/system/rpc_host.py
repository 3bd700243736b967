"""RPC methods about the machine: what it is, what waits in its lanes, its directories.

Source: OpenClaw gateway protocol, "system.info", "diagnostics.lanes", "fs.listDir".
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec

from portico.clock import Clock
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.system.host import host_info

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
MAX_ENTRIES = 2_000
Occupied = Callable[[], Awaitable[dict[str, tuple[int, int]]]]
"""What runs and waits, by session."""


class ListDir(Params, frozen=True, kw_only=True):
    """`{path?, nodeId?}`."""

    path: NonEmpty | None = None
    node_id: NonEmpty | None = None


class Directory(Result, frozen=True, kw_only=True):
    """One directory."""

    name: str
    path: str
    hidden: bool = False


class DirectoryListed(Result, frozen=True, kw_only=True):
    """The directories in a directory."""

    path: str
    parent: str | None = None
    home: str = msgspec.field()
    entries: tuple[Directory, ...] = msgspec.field()


class HostMethods:
    """`system.info`, `diagnostics.lanes`, `fs.listDir`.

    Args:
        instance_id: names this run of the process.
        port: where it listens; 0 while it does not.
        most: turns that may run at the same time.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        state_dir: Path,
        instance_id: str,
        started_ms: int,
        port: Callable[[], int],
        occupied: Occupied,
        most: int,
        home: Path,
    ) -> None:
        self._clock = clock
        self._state_dir = state_dir
        self._instance_id = instance_id
        self._started_ms = started_ms
        self._port = port
        self._occupied = occupied
        self._most = most
        self._home = home

    @method("system.info", scope=Scope.READ)
    async def info(self, call: Call, params: Empty) -> dict[str, Any]:
        """Say what machine the gateway runs on, and how much of it is free."""
        return await asyncio.to_thread(
            host_info,
            state_dir=self._state_dir,
            uptime_ms=self._clock.now_ms() - self._started_ms,
            instance_id=self._instance_id,
            port=self._port(),
        )

    @method("diagnostics.lanes", scope=Scope.READ)
    async def lanes(self, call: Call, params: Empty) -> dict[str, Any]:
        """Count what runs and waits: over all lanes, and how many lanes there are."""
        lanes = await self._occupied()
        running = sum(active for active, _ in lanes.values())
        waiting = sum(queued for _, queued in lanes.values())
        main = {
            "lane": "main",
            "activeCount": running,
            "queuedCount": waiting,
            "maxConcurrent": self._most,
        }
        dynamic = {
            "laneCount": len(lanes),
            "activeCount": running,
            "queuedCount": waiting,
            "queuedLaneCount": sum(queued > 0 for _, queued in lanes.values()),
        }
        return {
            "ts": self._clock.now_ms(),
            "lanes": [main],
            "dynamic": dynamic if lanes else None,
        }

    @method("fs.listDir", scope=Scope.ADMIN, scope_rule=lambda _params: Scope.ADMIN)
    async def list_dir(self, call: Call, params: ListDir) -> DirectoryListed:
        """List the directories in one of the gateway's machine, to choose a workspace by."""
        if params.node_id is not None:
            raise InvalidRequest("fs.listDir of a node: call node.invoke with fs.listDir")
        text = params.path or str(self._home)
        if text == "~" or text.startswith("~/"):
            text = f"{self._home}{text[1:]}"
        if not text.startswith("/") or "\0" in text:
            raise InvalidRequest("invalid fs.listDir params: at /path: must be absolute")
        try:
            return await asyncio.to_thread(_listed, Path(text), self._home)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InvalidRequest(f"{text}: {reason}") from None


def _listed(path: Path, home: Path) -> DirectoryListed:
    whole = path.resolve()
    found = []
    with os.scandir(whole) as entries:
        for entry in entries:
            if entry.is_dir() and _is_text(entry.name):
                found.append(
                    Directory(name=entry.name, path=entry.path, hidden=entry.name.startswith("."))
                )
            if len(found) >= MAX_ENTRIES:
                break
    return DirectoryListed(
        path=str(whole),
        parent=None if whole.parent == whole else str(whole.parent),
        home=str(home),
        entries=tuple(sorted(found, key=lambda one: one.name.lower())),
    )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
