"""The message path as the HTTP side sees it: the way in, the runs, and how one is followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from portico.agents.runtime import TurnRequest
from portico.channels.model import InboundMessage, ReplyRoute
from portico.inbox.model import Accepted, Routing
from portico.turns.feed import Ended, RunFeed, Started, Step
from portico.turns.model import TurnRow


class InboxPort(Protocol):
    """The way in."""

    async def accept(
        self, message: InboundMessage, request: TurnRequest, routing: Routing
    ) -> Accepted:
        """Take responsibility for a message."""
        ...

    async def route_of(self, run_id: str) -> ReplyRoute | None:
        """Return the frozen reply route of a run's message."""
        ...


class TurnsPort(Protocol):
    """The runs."""

    async def find(self, run_id: str) -> TurnRow | None:
        """Return a turn, in whatever state."""
        ...

    async def open_in_lane(self, session_key: str) -> list[TurnRow]:
        """Return what runs and waits for a session, in order."""
        ...

    async def wait(self, run_id: str, timeout_s: float | None) -> TurnRow | None:
        """Wait until a turn has ended."""
        ...

    def follow(self, row: TurnRow) -> RunFeed | None:
        """Return the live steps of a turn."""
        ...

    async def cancel(self, run_id: str, reason: str) -> bool:
        """Cancel an open turn."""
        ...

    async def cancel_session(self, session_key: str, reason: str) -> list[str]:
        """Cancel everything open in a session."""
        ...


async def steps_of(
    run_id: str, turns: TurnsPort, *, seen: int, heartbeat_s: float
) -> AsyncGenerator[tuple[int, Step | None], None]:
    """Yield a run's numbered steps; `None` after each silence of `heartbeat_s`.

    A run whose steps are not (or no longer) in this process yields its beginning and its end.

    Args:
        seen: the number of the last step the follower saw; the end is numbered above it.
    """
    number = 0
    row = await turns.find(run_id)
    while row is not None:
        feed = turns.follow(row)
        found = None if feed is None else await _next(feed, number, heartbeat_s)
        if found is not None:
            number, step = found
            yield number, step
            if isinstance(step, Ended):
                return
            continue
        if feed is not None and feed.is_detached:
            return  # the gateway stops; the client comes back and follows from there
        if feed is not None:
            yield number, None
            row = await turns.find(run_id)
            if row is None or row.is_open or feed.ended is not None:
                continue
        if number == 0 and row.started_at is not None:
            yield 1, Started(row)
        yield max(number, seen, 1) + 1, Ended(row)
        return


async def _next(feed: RunFeed, number: int, heartbeat_s: float) -> tuple[int, Step] | None:
    try:
        async with asyncio.timeout(heartbeat_s), aclosing(feed.follow(number)) as steps:
            return await anext(steps, None)
    except TimeoutError:
        return None
