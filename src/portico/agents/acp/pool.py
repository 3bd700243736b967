"""The programs of one agent: one per conversation that is being answered or was a moment ago.

Why one per conversation: a program that hangs, is killed or leaks takes its own conversation with
it and no other, and nothing one person said can reach another through it. What that costs is
bounded: so many programs at a time, and an idle one gives way or is ended.

Guarantees: a program answers one turn at a time; one that could not be started is tried again with
growing pauses; after `close` none is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from portico.agents.acp.program import TERMINATE_S
from portico.agents.acp.settings import AcpSettings
from portico.agents.acp.troubles import AcpTrouble, Busy, Unstartable
from portico.agents.acp.worker import IMPATIENCE_S, Worker
from portico.clock import Clock
from portico.tasks import Tasks

log = structlog.get_logger()

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
Open = Callable[[], Awaitable[Worker]]


class Pool:
    """Hands programs out by conversation."""

    def __init__(self, settings: AcpSettings, *, open_: Open, tasks: Tasks, clock: Clock) -> None:
        self._settings = settings
        self._open = open_
        self._tasks = tasks
        self._clock = clock
        self._idle: dict[str, Worker] = {}  # by conversation; the longest idle first
        self._busy: dict[str, Worker | None] = {}  # `None`: it is being started
        self._changed = asyncio.Condition()
        self._failures = 0
        self._not_before_s = 0.0
        self._closed = False

    def __len__(self) -> int:
        return len(self._idle) + len(self._busy)

    async def take(self, conversation: str) -> Worker:
        """Return the conversation's program, started if need be; hand it back with `give`.

        Raises:
            Busy: too many programs are busy, for longer than a start may take.
            Unstartable: it could not be started, now or a moment ago.
        """
        worker = await self._reserve(conversation)
        if worker is not None:
            return worker
        try:
            worker = await self._start()
        except BaseException:
            self._busy.pop(conversation, None)
            await self._tell()
            raise
        self._busy[conversation] = worker
        if self._closed:
            await self.give(conversation)
            raise Unstartable("the gateway stops")
        return worker

    async def give(self, conversation: str, *, is_fit: bool = True) -> None:
        """Take a program back; one that is not fit, or not needed, is ended."""
        worker = self._busy.get(conversation)
        if worker is not None and (self._closed or not is_fit or not worker.is_fit):
            await worker.close(patience_s=TERMINATE_S if is_fit else IMPATIENCE_S)
            worker = None
        self._busy.pop(conversation, None)
        if worker is not None:
            self._idle[conversation] = worker
            self._tasks.start(self._let_go(conversation, worker), name="acp.idle")
        await self._tell()

    async def close(self) -> None:
        """End every program that is idle; those that are busy end with their turns."""
        self._closed = True
        idle, self._idle = self._idle, {}
        await asyncio.gather(*(worker.close() for worker in idle.values()))
        for worker in [one for one in self._busy.values() if one is not None]:
            await worker.close()

    async def _reserve(self, conversation: str) -> Worker | None:
        """Take a place: with the idle program there is, or `None` for one to be started."""
        try:
            async with asyncio.timeout(self._settings.startup_s), self._changed:
                while True:
                    if self._closed:
                        raise Unstartable("the gateway stops")
                    if conversation not in self._busy:
                        worker = self._idle.pop(conversation, None)
                        if worker is not None and not worker.is_fit:
                            self._tasks.start(worker.close(), name="acp.close")
                            worker = None
                        if worker is not None or await self._has_place():
                            self._busy[conversation] = worker
                            return worker
                    await self._changed.wait()
        except TimeoutError as error:
            raise Busy(f"{len(self._busy)} programs are busy") from error

    async def _has_place(self) -> bool:
        while len(self) >= self._settings.max_processes:
            longest = next(iter(self._idle), None)
            if longest is None:
                return False
            await self._idle.pop(longest).close()
        return True

    async def _start(self) -> Worker:
        wait_s = self._not_before_s - self._clock.monotonic_s()
        if wait_s > 0:
            raise Unstartable(f"it failed {self._failures} times; tried again in {wait_s:.0f} s")
        try:
            worker = await self._open()
        except AcpTrouble:
            self._failures += 1
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._failures - 1, 10))
            self._not_before_s = self._clock.monotonic_s() + pause_s
            raise
        self._failures = 0
        return worker

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _let_go(self, conversation: str, worker: Worker) -> None:
        await asyncio.sleep(self._settings.idle_s)
        if self._idle.get(conversation) is worker:
            del self._idle[conversation]
            await worker.close()
            await self._tell()
