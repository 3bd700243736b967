"""A turn that is running in this process: who may stop it, what it has said until now.

Guarantees:
    - A runtime that raises, hangs past its time or breaks its contract in another way ends its own
      turn and nothing else.
    - A cancellation reaches the runtime only; once it has finished, its end is committed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from portico.agents.runtime import (
    AgentEvent,
    AgentRuntime,
    ContextCompacted,
    Failed,
    Final,
    ToolCallRequested,
    ToolFinished,
    ToolStarted,
    TurnRequest,
)
from portico.budgets.model import Spender
from portico.turns.ending import Said, Superseded
from portico.turns.life import TurnState
from portico.turns.meter import Meter
from portico.turns.model import ClientToolCall, ToolUse, TurnRow
from portico.turns.publish import RunPublisher

log = structlog.get_logger()

INTERNAL_ERROR = "The agent failed. The operator can find the reason in the gateway log."
STEERING_CAPACITY = 32


class StoreAway(Exception):
    """The database stayed away; the turn is still `running` in its row."""


def _nothing_to_release() -> None:
    return None


class ActiveRun:
    """A turn that is running in this process."""

    def __init__(
        self, row: TurnRow, runtime: AgentRuntime, publisher: RunPublisher, timeout_s: float
    ) -> None:
        self.row = row
        self.timeout_s = row.request.timeout_s or timeout_s
        self.runtime = runtime
        self.release_runtime: Callable[[], None] = _nothing_to_release
        self.publisher = publisher
        self.steering: asyncio.Queue[str] = asyncio.Queue(STEERING_CAPACITY)  # run ids
        self.carried: deque[TurnRequest] = deque()  # steered into an attempt that died
        self.cancel_reason = row.cancel_reason
        self.gave_way = False  # left its lane's next turn to lanes that wait for a slot
        self.task: asyncio.Task[Any] | None = None
        self.meter = Meter()
        self.tools: dict[str, ToolUse] = {}
        self.requested: list[ClientToolCall] = []
        self.compacted: ContextCompacted | None = None
        self.final: Final | Failed | None = None
        self._driving = False
        self._superseded = False

    @property
    def spender(self) -> Spender:
        """Who pays for it."""
        row = self.row
        return Spender(
            run_id=row.run_id,
            agent_id=row.agent_id,
            session_key=row.session_key,
            channel=row.reply_route.channel,
            is_metered=self.runtime.abilities.is_metered,
            timeout_s=self.timeout_s,
        )

    def cancel(self, reason: str) -> None:
        """Stop the run; its end is committed as cancelled, unless it has finished already."""
        if self.cancel_reason is None:
            self.cancel_reason = reason
            self._stop_runtime()

    def supersede(self) -> None:
        """Stop the run without a trace: another owner has its turn."""
        if not self._superseded:
            self._superseded = True
            self._stop_runtime()

    def _stop_runtime(self) -> None:
        # Only the runtime is ever cancelled: not a task that has not begun (it would never run),
        # not the commit of the end (its waiters would never be told).
        if self._driving and self.task is not None:
            self.task.cancel()

    def can_steer(self) -> bool:
        """Whether the runtime takes messages now."""
        return self.runtime.abilities.steerable and not self.steering.full()

    async def drive(self, consume: Callable[[ActiveRun], Awaitable[None]]) -> TurnState:
        """Let the runtime answer, within its time; return the state its turn ends in.

        Raises:
            Superseded: the turn belongs to another owner now.
            StoreAway: what the run depends on could not be written; the turn is not ended.
        """
        state = TurnState.CANCELLED
        if not self._is_stopped():
            self._driving = True
            try:
                state = await self._within_time(consume)
            except asyncio.CancelledError:
                if not self._is_stopped():
                    raise
                _absorb_cancellation()
            finally:
                self._driving = False
        if self._superseded:
            raise Superseded
        return state if self.cancel_reason is None else TurnState.CANCELLED

    def _is_stopped(self) -> bool:
        return self._superseded or self.cancel_reason is not None

    async def _within_time(self, consume: Callable[[ActiveRun], Awaitable[None]]) -> TurnState:
        limit = asyncio.timeout(self.timeout_s)
        try:
            async with limit:
                await _unless_stopping(consume(self))
        except (Superseded, StoreAway):
            raise
        except Exception as error:  # noqa: BLE001 - a runtime may raise anything
            if self.final is None:
                self.final = self._failure(error, timed_out=limit.expired())
        if isinstance(self.final, Final):
            return TurnState.SUCCEEDED
        timed_out = limit.expired() and self.final is not None and self.final.kind == "timeout"
        return TurnState.TIMED_OUT if timed_out else TurnState.FAILED

    def _failure(self, error: Exception, *, timed_out: bool) -> Failed:
        if timed_out:
            return Failed(f"The agent did not finish within {self.timeout_s:g} s.", "timeout")
        log.error("turn.runtime_failed", run_id=self.row.run_id, exc_info=error)
        return Failed(INTERNAL_ERROR)

    def note(self, event: AgentEvent) -> None:
        """Remember what the end will need of an event."""
        self.meter.note(event)
        match event:
            case ToolStarted():
                self.tools[event.call_id] = ToolUse(event.call_id, event.name, event.arguments)
            case ToolFinished():
                known = self.tools.get(event.call_id)
                arguments = known.arguments if known else {}
                self.tools[event.call_id] = ToolUse(
                    event.call_id,
                    event.name,
                    arguments,
                    event.result,
                    event.is_error,
                    event.is_untrusted,
                )
            case ToolCallRequested(call_id, name, arguments):
                self.requested.append(ClientToolCall(call_id, name, arguments))
            case ContextCompacted():
                self.compacted = event
            case Final() | Failed():
                self.final = event
            case _:
                return

    def said(self) -> Said:
        """Return what there is to write."""
        return Said(
            text=self.publisher.text,
            final=self.final,
            tools=tuple(self.tools.values()),
            requested=tuple(self.requested),
            usage=self.meter.used,
            model_calls=self.meter.calls,
            provider=self.meter.provider,
            model=self.meter.model,
            compacted=self.compacted,
            cancelled_by=self.cancel_reason,
            answers_untrusted=self.row.request.is_untrusted,
        )


async def _unless_stopping(consuming: Awaitable[None]) -> None:
    """Await a runtime; a cancellation it made up itself is an error like any other."""
    try:
        await consuming
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("the runtime raised CancelledError") from error


def _absorb_cancellation() -> None:
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()
