"""Work in order within a conversation, side by side between them; and how far all of it is.

Guarantees:
    - What is put for one conversation is done in the order it was put.
    - `sequence` and `mark` move over work that is done with everything put before it.
    - Whoever waits for `room` before putting more lets only so many works wait.
    - When a work fails, nothing after it counts as done: `sequence` stands still.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from portico.tasks import Tasks

MOST_WAITING = 500
Work = Callable[[], Awaitable[None]]


@dataclass(eq=False, slots=True)
class Entry:
    """One event: it is done when all its works are.

    Attributes:
        message_id: of the message in it.
        open: works that are not done.
    """

    sequence: int
    message_id: int | None = None
    open: int = 0


class Progress:
    """How far the events of one session are."""

    def __init__(self, *, sequence: int | None, mark: int | None) -> None:
        self.sequence = sequence
        self.mark = mark
        self._entries: deque[Entry] = deque()

    def begin(self, sequence: int) -> Entry:
        """An event came in; call `advance` when its works are put."""
        entry = Entry(sequence)
        self._entries.append(entry)
        return entry

    def advance(self) -> None:
        """Move over what is done."""
        while self._entries and not self._entries[0].open:
            done = self._entries.popleft()
            self.sequence = done.sequence
            if done.message_id is not None and self.mark is not None:
                self.mark = max(self.mark, done.message_id)


class Lanes:
    """The works of all conversations."""

    def __init__(self, tasks: Tasks, on_done: Callable[[], None]) -> None:
        self._tasks = tasks
        self._on_done = on_done
        self._lanes: dict[str, deque[tuple[Entry, Work]]] = {}
        self._waiting = 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def room(self) -> None:
        """Wait until there are few enough."""
        await self._has_room.wait()

    def put(self, lane: str, entry: Entry, work: Work) -> None:
        """Do a work after those of its lane."""
        entry.open += 1
        self._count(1)
        waiting = self._lanes.get(lane)
        if waiting is not None:
            waiting.append((entry, work))
            return
        self._lanes[lane] = deque([(entry, work)])
        self._tasks.start(self._run(lane), name=f"discord.lane:{lane}")

    async def _run(self, lane: str) -> None:
        waiting = self._lanes[lane]
        try:
            while waiting:
                entry, work = waiting.popleft()
                await work()
                entry.open -= 1
                self._count(-1)
                self._on_done()
        finally:
            del self._lanes[lane]

    def _count(self, change: int) -> None:
        self._waiting += change
        if self._waiting < MOST_WAITING:
            self._has_room.set()
        else:
            self._has_room.clear()
