"""The one place that starts asyncio tasks.

Guarantees: every task has a name and an owner that keeps a reference; an exception that nobody
awaits is logged with its traceback and never lost; `stop` cancels what still runs and waits for it.

Not here: restarting what failed. A supervisor that wants restarts wraps its coroutine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

OnFailure = Callable[[str, BaseException], None]


class Tasks:
    """A named group of background tasks with one life."""

    def __init__(self, on_failure: OnFailure) -> None:
        self._on_failure = on_failure
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run `work` in the background until it ends or `stop` cancels it."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(task.get_name(), error)

    def __len__(self) -> int:
        return len(self._running)

    async def stop(self) -> None:
        """Cancel every task and wait until all have ended. Safe to call twice."""
        current = asyncio.current_task()
        pending = [task for task in self._running if task is not current]
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)
