"""Events on their way to whoever follows them.

Guarantees: each stream has its own bound; one that is read too slowly loses its oldest events and
is told by a `Gap`; it ends when its client does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Self

from portico.client.errors import ClientError
from portico.client.model import Event, Gap

LEAST = 2  # a gap, and what comes after it


class EventStream:
    """The events that come after it was made; iterate it with `async for`.

    Args:
        names: the events that are wanted; none named: all of them. A `Gap` is told to all.
        limit: how many are kept for a reader that is behind.
    """

    def __init__(self, names: frozenset[str], *, limit: int) -> None:
        self._names = names
        self._items: deque[Event | Gap] = deque(maxlen=max(limit, LEAST))
        self._changed = asyncio.Event()
        self._ended = False
        self._reason: ClientError | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event | Gap:
        """Return the next one. Raises the reason when the client has lost its gateway for good."""
        while not self._items:
            if self._ended:
                if self._reason is not None:
                    raise self._reason
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._items.popleft()

    def put(self, item: Event | Gap) -> None:
        """Hand an event on, if it is wanted here."""
        if self._ended or (
            isinstance(item, Event) and self._names and item.name not in self._names
        ):
            return
        if len(self._items) == self._items.maxlen:
            self._items.popleft()
            self._items[0] = Gap("this client did not keep up")
        self._items.append(item)
        self._changed.set()

    def end(self, reason: ClientError | None = None) -> None:
        """Let the reader have what is left, then stop, with a reason or quietly."""
        if not self._ended:
            self._ended, self._reason = True, reason
        self._changed.set()
