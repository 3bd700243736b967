"""What a piece of software leaves behind: tasks, sockets, threads."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

_FDS = Path("/proc/self/fd")


@dataclass(frozen=True, slots=True)
class Footprint:
    """What there is now. `sockets` is 0 where the system does not tell."""

    tasks: Counter[str]
    sockets: int
    threads: Counter[str]

    @classmethod
    def now(cls) -> Footprint:
        """Look around, in a running loop."""
        tasks = Counter(_name(task) for task in asyncio.all_tasks())
        # Threads of the loop's own pool are the loop's.
        names = [thread.name for thread in threading.enumerate()]
        threads = Counter(name for name in names if not name.startswith("asyncio_"))
        return cls(tasks, _sockets(), threads)

    def beyond(self, before: Footprint) -> list[str]:
        """Return what is here and was not there before."""
        found = [f"task {name}" for name in self.tasks - before.tasks]
        found += [f"thread {name}" for name in self.threads - before.threads]
        if self.sockets > before.sockets:
            found.append(f"{self.sockets - before.sockets} sockets")
        return found


def _name(task: asyncio.Task[object]) -> str:
    name = task.get_name()
    # Unnamed tasks are numbered.
    return getattr(task.get_coro(), "__qualname__", name) if name.startswith("Task-") else name


def _sockets() -> int:
    if not _FDS.exists():
        return 0
    count = 0
    for entry in _FDS.iterdir():
        with contextlib.suppress(OSError):  # it is closed meanwhile
            count += str(entry.readlink()).startswith("socket:")
    return count
