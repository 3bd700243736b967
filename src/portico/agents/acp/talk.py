"""One answer in the making: what the program says, on its way to the turn.

Guarantees: order is kept; so much is held and no more, then the program's pipe is left unread; when
the turn is gone, what still comes is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

from portico.agents.acp.troubles import AcpTrouble, Ended
from portico.agents.runtime import AgentEvent, Usage

MAX_HELD_EVENTS = 256
MAX_HELD_CHARS = 4_194_304


@dataclass(frozen=True, slots=True)
class Done:
    """The program has finished: why, or what went wrong; and what it says it has used."""

    stop_reason: str = "end_turn"
    error: AcpTrouble | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class _Mark:
    """Everything before this has been taken by the turn."""

    passed: asyncio.Future[None]


_Item: TypeAlias = "AgentEvent | Done | _Mark"


class Talk:
    """A bounded line from the program to the turn."""

    def __init__(self) -> None:
        self._items: deque[tuple[_Item, int]] = deque()
        self._chars = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self.is_open = True

    def put(self, event: AgentEvent | Done, chars: int = 0) -> None:
        """Add an event; `chars` is about how large it is."""
        if self.is_open:
            self._put(event, chars)

    def _put(self, item: _Item, chars: int) -> None:
        self._items.append((item, chars))
        self._chars += chars
        self._filled.set()
        if len(self._items) >= MAX_HELD_EVENTS or self._chars >= MAX_HELD_CHARS:
            self._drained.clear()

    async def take(self) -> AgentEvent | Done:
        """Return the next event. Asking for it says that the one before has been dealt with."""
        while True:
            while not self._items:
                self._filled.clear()
                await self._filled.wait()
            item, chars = self._items.popleft()
            self._chars -= chars
            if len(self._items) < MAX_HELD_EVENTS // 2 and self._chars < MAX_HELD_CHARS // 2:
                self._drained.set()
            if not isinstance(item, _Mark):
                return item
            if not item.passed.done():
                item.passed.set_result(None)

    async def until_taken(self) -> None:
        """Wait until the turn has dealt with everything that was put so far."""
        if self.is_open:
            mark = _Mark(asyncio.get_running_loop().create_future())
            self._put(mark, 0)
            await mark.passed

    async def room(self) -> None:
        """Wait until there is room for more."""
        await self._drained.wait()

    def close(self) -> None:
        """The turn is gone: drop what is held, and let whoever waits go on."""
        self.is_open = False
        for item, _ in self._items:
            if isinstance(item, _Mark) and not item.passed.done():
                item.passed.set_result(None)
        self._items.clear()
        self._chars = 0
        self._drained.set()
        self._put(Done(error=Ended("it was closed")), 0)  # should the turn be there after all
