"""A restart of the gateway: asked for here, done by whoever owns the process.

Guarantees: one restart at a time; what is asked for while one is on its way joins it.

Not here: how a process hands over to the next (`portico.line`); RPC (rpc_restart.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import structlog

from portico.clock import Clock
from portico.process.lock import LastRestart

log = structlog.get_logger()

MAX_REASON = 200


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What became of a request: it begins at `at_ms`, or joins the one that does."""

    status: Literal["scheduled", "coalesced"]
    reason: str
    at_ms: int


class Restarts:
    """The one restart that may be on its way.

    Attributes:
        wanted: set when one is due; whoever owns the process waits for it.
        last: how the last one went; `None`: there was none in this line of processes.
        supported: whether anybody waits for `wanted`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pending: Scheduled | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._listeners: list[Callable[[LastRestart], None]] = []
        self.wanted = asyncio.Event()
        self.last: LastRestart | None = None
        self.supported = False

    @property
    def pending(self) -> Scheduled | None:
        """The restart on its way."""
        return self._pending

    def request(self, reason: str, *, delay_s: float = 0.0) -> Scheduled:
        """Ask for a restart; returns at once. May be called from anywhere on the loop."""
        if self._pending is not None:
            return Scheduled("coalesced", self._pending.reason, self._pending.at_ms)
        reason = reason.strip()[:MAX_REASON] or "asked for"
        due = Scheduled("scheduled", reason, self._clock.now_ms() + int(delay_s * 1000))
        self._pending = due
        log.info("restart.requested", reason=reason, delay_s=delay_s)
        self._alarm = asyncio.get_running_loop().call_later(delay_s, self.wanted.set)
        return due

    def on_failure(self, tell: Callable[[LastRestart], None]) -> None:
        """Have somebody told of each restart that was rolled back."""
        self._listeners.append(tell)

    def failed(self, why: str) -> LastRestart:
        """The new process did not come up: this one goes on."""
        self._pending = None
        self.wanted.clear()
        self.last = LastRestart(at=self._clock.now_ms(), ok=False, reason=why)
        log.error("restart.rolled_back", reason=why)
        for tell in self._listeners:
            tell(self.last)
        return self.last

    def succeeded(self) -> LastRestart:
        """This process is the new one, and has taken over."""
        self.last = LastRestart(at=self._clock.now_ms(), ok=True)
        return self.last
