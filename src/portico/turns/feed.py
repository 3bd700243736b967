"""What a run says while it runs, for those who follow it in this process.

Guarantees: every step has a number that rises by one from 1; a follower that comes back with the
last number it saw gets the rest, as long as it is within the kept window. Memory is bounded: steps
per run, and finished runs.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from portico.agents.runtime import AgentEvent
from portico.protocol.errors import Outcome, Unavailable
from portico.turns.model import TurnRow

RETRY_AFTER_MS = 2_000
MAX_STEPS = 2_000
MAX_FINISHED = 256
MAX_FINISHED_STEPS = 50_000  # of all finished runs together


@dataclass(frozen=True, slots=True)
class Started:
    """The run was claimed and begins."""

    row: TurnRow


@dataclass(frozen=True, slots=True)
class Ended:
    """The run's end is committed."""

    row: TurnRow


Step = Started | AgentEvent | Ended


class RunFeed:
    """The steps of one run."""

    __slots__ = ("_first", "_steps", "_waiters", "ended", "is_detached")

    def __init__(self, *, detached: bool = False) -> None:
        self.is_detached = detached
        self._steps: deque[Step] = deque()
        self._first = 1
        self._waiters: list[asyncio.Future[None]] = []
        self.ended: TurnRow | None = None

    def __len__(self) -> int:
        return len(self._steps)

    def __bool__(self) -> bool:
        return True

    def push(self, step: Step) -> None:
        """Add a step and wake who waits for it."""
        self._steps.append(step)
        if len(self._steps) > MAX_STEPS:
            self._steps.popleft()
            self._first += 1
        if isinstance(step, Ended):
            self.ended = step.row
        self._wake()

    def detach(self) -> None:
        """Let go of everyone who follows: this process will not see the run's end."""
        self.is_detached = True
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def follow(self, after: int = 0) -> AsyncGenerator[tuple[int, Step], None]:
        """Yield numbered steps after a number, until the run has ended or the feed is detached."""
        number = max(after + 1, self._first)
        while True:
            index = number - self._first
            if index < 0:
                number, index = self._first, 0
            if index < len(self._steps):
                step = self._steps[index]
                yield number, step
                if isinstance(step, Ended):
                    return
                number += 1
            elif self.ended is not None or self.is_detached:
                return
            else:
                await self._changed()

    async def wait_end(self) -> TurnRow:
        """Return the ended turn, once it has ended.

        Raises:
            Unavailable: the gateway stops first; the turn is kept.
        """
        while self.ended is None:
            if self.is_detached:
                raise Unavailable(
                    "The gateway is stopping. The request is kept: ask again with the same id.",
                    retryable=True,
                    retry_after_ms=RETRY_AFTER_MS,
                    outcome=Outcome.UNCERTAIN,
                )
            await self._changed()
        return self.ended

    def _changed(self) -> asyncio.Future[None]:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter


class Feeds:
    """The feeds of the runs this process knows: open ones, and the latest finished ones."""

    def __init__(self) -> None:
        self._open: dict[str, RunFeed] = {}
        self._finished: OrderedDict[str, RunFeed] = OrderedDict()
        self._finished_steps = 0
        self._detached = False

    def __len__(self) -> int:
        return len(self._open) + len(self._finished)

    def open_ids(self) -> list[str]:
        """Return the runs whose feeds have not ended."""
        return [*self._open]

    def open(self, run_id: str) -> RunFeed:
        """Return the run's feed, made if it is new."""
        feed = self.find(run_id)
        if feed is None:
            feed = self._open[run_id] = RunFeed(detached=self._detached)
        return feed

    def find(self, run_id: str) -> RunFeed | None:
        """Return the run's feed, if it is still kept."""
        return self._open.get(run_id) or self._finished.get(run_id)

    def close(self, run_id: str, row: TurnRow) -> None:
        """End a run's feed; late followers can still read it for a while."""
        feed = self._open.pop(run_id, None)
        if feed is None:
            return
        feed.push(Ended(row))
        self._finished[run_id] = feed
        self._finished_steps += len(feed)
        while len(self._finished) > MAX_FINISHED or self._finished_steps > MAX_FINISHED_STEPS:
            _, oldest = self._finished.popitem(last=False)
            self._finished_steps -= len(oldest)

    def forget(self, run_id: str) -> None:
        """Drop the open feed of a run that does not exist."""
        self._open.pop(run_id, None)

    def detach(self) -> None:
        """Let go of everyone who follows an open run, now and from now on."""
        self._detached = True
        for feed in self._open.values():
            feed.detach()
