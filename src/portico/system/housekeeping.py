"""Forget what is too old to be asked for, so that the database stays as large as its use.

Guarantees: nothing that waits, runs or is stuck is touched, nor any transcript. How long the rest
is kept is `store.retentionDays`, longer than any provider repeats itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from portico.tasks import Tasks

log = structlog.get_logger()

INTERVAL_S = 3600.0
Chore = Callable[[], Awaitable[int]]


class Housekeeping:
    """Does its chores once an hour; one that fails does not keep the others from being done."""

    def __init__(
        self, chores: Mapping[str, Chore], *, tasks: Tasks, interval_s: float = INTERVAL_S
    ) -> None:
        self._chores = chores
        self._tasks = tasks
        self._interval_s = interval_s

    def start(self) -> None:
        """Begin; the first round is one interval away, so that a start stays quick."""
        self._tasks.start(self._keep_house(), name="housekeeping")

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self.do_chores()

    async def do_chores(self) -> None:
        """Do every chore once."""
        for name, chore in self._chores.items():
            try:
                count = await chore()
            except Exception as error:
                log.error("housekeeping.failed", chore=name, exc_info=error)
            else:
                if count:
                    log.info("housekeeping.forgot", chore=name, rows=count)
