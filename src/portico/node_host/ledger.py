"""Which invokes run, and how the last ones ended: no request is carried out twice.

Theory of operation: a request is known by its invoke id, and by its idempotency key when it has
one. A repeat of one that runs waits for its end; a repeat of one that has ended gets the same
outcome.

Guarantees: bounded in number and bytes; the oldest outcomes are forgotten first. An outcome is
remembered before it is sent. Nothing survives the process.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import msgspec

from portico.node_host.model import InvokeRequest, Outcome

MAX_ENDED = 1_000
MAX_ENDED_BYTES = 32_000_000
LARGE_BYTES = 1_000_000
FORGOTTEN = Outcome(
    error=("RESULT_FORGOTTEN", "the command has ended; its answer was too large to keep")
)
CANCELLED = Outcome(error=("CANCELLED", "the command was cancelled"))
BUSY = Outcome(error=("BUSY", "this node runs as many commands as it may; try again later"))


class Ledger:
    """The invokes of one node host."""

    def __init__(self, *, most_running: int) -> None:
        self._most_running = most_running
        self._running: dict[str, asyncio.Future[Outcome]] = {}
        self._ended: OrderedDict[str, tuple[Outcome, int]] = OrderedDict()
        self._bytes = 0

    @property
    def running(self) -> int:
        """How many commands run."""
        return len(self._running)

    async def run(
        self, request: InvokeRequest, work: Callable[[], Awaitable[Outcome]]
    ) -> tuple[Outcome, bool]:
        """Carry a request out, once; return how it ended, and whether it was a repeat."""
        name = _name(request)
        if name in self._ended:
            return self._ended[name][0], True
        if name in self._running:
            return await asyncio.shield(self._running[name]), True
        if len(self._running) >= self._most_running:
            return BUSY, False
        return await self._first(name, work), False

    async def _first(self, name: str, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._running[name] = ended
        outcome = CANCELLED
        try:
            outcome = await work()
            return outcome
        finally:
            del self._running[name]
            self._remember(name, outcome)
            ended.set_result(outcome)

    def _remember(self, name: str, outcome: Outcome) -> None:
        size = len(msgspec.json.encode((outcome.payload, outcome.error)))
        kept = (FORGOTTEN, 100) if size > LARGE_BYTES else (outcome, size)
        self._ended[name] = kept
        self._bytes += kept[1]
        while len(self._ended) > MAX_ENDED or self._bytes > MAX_ENDED_BYTES:
            _, (_, freed) = self._ended.popitem(last=False)
            self._bytes -= freed


def _name(request: InvokeRequest) -> str:
    """Name a request. Two callers may have thought of one key: their parameters tell them apart."""
    if not request.idempotency_key:
        return f"id:{request.id}"
    asked = (request.command, request.idempotency_key, request.params_json, request.session_key)
    return f"key:{hashlib.sha256(msgspec.json.encode(asked)).hexdigest()}"
