"""Run one claimed turn to its end: drive the runtime, publish, commit what came of it.

Guarantees: the end is committed in one transaction (transcript, turn, usage, deliveries, and the
claim of the lane's next turn) before anyone is told; a runtime that raises, hangs past its time or
breaks its contract ends its own turn and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import structlog

from portico.agents.runtime import (
    AgentEvent,
    AgentRuntime,
    Failed,
    Final,
    HistoryMessage,
    ModelUsed,
    ToolFinished,
    ToolStarted,
    Turn,
    TurnRequest,
    Usage,
)
from portico.channels.model import ReplyRoute
from portico.clock import Clock
from portico.sessions import transcript
from portico.sessions.model import Entry
from portico.store import Store, Work
from portico.turns import store as turn_store
from portico.turns.feed import Feeds, Started
from portico.turns.life import TurnState
from portico.turns.model import ToolUse, TurnResult, TurnRow
from portico.turns.publish import RunPublisher

log = structlog.get_logger()

INTERNAL_ERROR = "The agent failed. The operator can find the reason in the gateway log."
STEERING_CAPACITY = 32


class Outbox(Protocol):
    """Where answers are put, inside the transaction that ends the turn."""

    def enqueue(
        self, route: ReplyRoute, text: str, *, run_id: str, session_key: str, now: int
    ) -> Work[bool]:
        """Insert a delivery; `False` when the route is read from the transcript instead."""
        ...

    def wake(self) -> None:
        """Something was committed."""
        ...


class Superseded(Exception):
    """The lease was lost: another owner has the turn, so this run must leave no trace."""


class ActiveRun:
    """A turn that is running in this process."""

    def __init__(
        self, row: TurnRow, runtime: AgentRuntime, publisher: RunPublisher, timeout_s: float
    ) -> None:
        self.row = row
        self.timeout_s = row.request.timeout_s or timeout_s
        self.runtime = runtime
        self.publisher = publisher
        self.steering: asyncio.Queue[TurnRequest] = asyncio.Queue(STEERING_CAPACITY)
        self.cancel_reason: str | None = None
        self.task: asyncio.Task[Any] | None = None
        self.usage = Usage()
        self.model_calls = 0
        self.provider: str | None = None
        self.model: str | None = None
        self.tools: dict[str, ToolUse] = {}
        self.final: Final | Failed | None = None

    def cancel(self, reason: str) -> None:
        """Stop the run; its end is committed as cancelled."""
        if self.cancel_reason is None:
            self.cancel_reason = reason
            if self.task is not None:
                self.task.cancel()


class Runner:
    """Runs claimed turns."""

    def __init__(self, *, store: Store, clock: Clock, feeds: Feeds, outbox: Outbox) -> None:
        self._store = store
        self._clock = clock
        self._feeds = feeds
        self._outbox = outbox

    async def run(self, run: ActiveRun, next_claim: Callable[[], Work[TurnRow | None]]) -> Ending:
        """Run a turn and commit its end.

        Args:
            next_claim: the work that claims the lane's next turn, done in the same transaction.

        Raises:
            Superseded: another owner took the turn over.
        """
        self._feeds.open(run.row.run_id).push(Started(run.row))
        run.publisher.started()
        state = await self._drive(run)
        return await self._finish(run, state, next_claim)

    async def close(self, run: ActiveRun, state: TurnState, message: str) -> Ending:
        """Commit the end of a turn that nobody will run (its owner died).

        Raises:
            Superseded: somebody else took it over in the meantime.
        """
        run.final = Failed(message)
        return await self._finish(run, state, _claim_nothing)

    async def _drive(self, run: ActiveRun) -> TurnState:
        timeout_s = run.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self._consume(run)
        except TimeoutError:
            run.final = Failed(f"The agent did not finish within {timeout_s:g} s.", "timeout")
            return TurnState.TIMED_OUT
        except asyncio.CancelledError:
            if run.cancel_reason is None:
                raise
            return TurnState.CANCELLED
        except Superseded:
            raise
        except Exception as error:
            log.error("turn.runtime_failed", run_id=run.row.run_id, exc_info=error)
            run.final = Failed(INTERNAL_ERROR)
        return TurnState.SUCCEEDED if isinstance(run.final, Final) else TurnState.FAILED

    async def _consume(self, run: ActiveRun) -> None:
        feed = self._feeds.open(run.row.run_id)
        async for event in run.runtime.run(self._turn(run)):
            if isinstance(event, ToolStarted) and event.side_effects:
                await self._commit_unsafe(run)
            self._note(run, event)
            run.publisher.event(event)
            if isinstance(event, Final | Failed):
                run.final = event
                return
            feed.push(event)
        log.error("turn.no_final", run_id=run.row.run_id, runtime=run.runtime.name)
        run.final = Failed(INTERNAL_ERROR)

    async def _commit_unsafe(self, run: ActiveRun) -> None:
        if not await self._store.write(turn_store.mark_unsafe, run.row):
            raise Superseded

    @staticmethod
    def _note(run: ActiveRun, event: AgentEvent) -> None:
        match event:
            case ModelUsed(usage, provider, model):
                run.usage += usage
                run.model_calls += 1
                run.provider, run.model = provider, model
            case ToolStarted():
                run.tools[event.call_id] = ToolUse(event.call_id, event.name, event.arguments)
            case ToolFinished():
                known = run.tools.get(event.call_id)
                arguments = known.arguments if known else {}
                run.tools[event.call_id] = ToolUse(
                    event.call_id, event.name, arguments, event.result, event.is_error
                )
            case _:
                return

    def _turn(self, run: ActiveRun) -> Turn:
        row = run.row

        async def history(limit: int) -> list[HistoryMessage]:
            before = row.result.message_seq if row.result else None
            found = await self._store.read(
                transcript.history, row.session_id or "", limit=limit, before=before
            )
            return [HistoryMessage(entry.role, entry.content) for entry in found]

        return Turn(
            run_id=row.run_id,
            session_key=row.session_key,
            session_id=row.session_id or "",
            agent_id=row.agent_id,
            request=row.request,
            history=history,
            steering=run.steering.get,
            attempt=row.attempts,
        )

    async def _finish(
        self, run: ActiveRun, state: TurnState, next_claim: Callable[[], Work[TurnRow | None]]
    ) -> Ending:
        now = self._clock.now_ms()
        result = _result(run, state)
        ending = await self._store.write(self._end, run, state, result, next_claim, now)
        run.publisher.ended(state, ending.row.result or result, now)
        self._feeds.close(run.row.run_id, ending.row)
        if ending.delivers:
            self._outbox.wake()
        return ending

    def _end(
        self,
        run: ActiveRun,
        state: TurnState,
        result: TurnResult,
        next_claim: Callable[[], Work[TurnRow | None]],
        now: int,
    ) -> Work[Ending]:
        entry = yield from self._write_transcript(run, state, result, now)
        if entry is not None:
            result = _with_entry(result, entry)
        if not (yield from turn_store.end(run.row, state, result, now=now)):
            raise Superseded
        delivers = False
        say = result.text if state is TurnState.SUCCEEDED else result.error
        if say and state is not TurnState.CANCELLED:
            delivers = yield from self._outbox.enqueue(
                run.row.reply_route,
                say,
                run_id=run.row.run_id,
                session_key=run.row.session_key,
                now=now,
            )
        following = yield from next_claim()
        return Ending(_ended_row(run.row, state, result, now), entry, delivers, following)

    @staticmethod
    def _write_transcript(
        run: ActiveRun, state: TurnState, result: TurnResult, now: int
    ) -> Work[Entry | None]:
        for tool in run.tools.values():
            yield from transcript.append(
                run.row.session_key,
                role="toolResult",
                content=tool.result if isinstance(tool.result, str | list) else [],
                now=now,
                run_id=run.row.run_id,
                meta={
                    "toolCallId": tool.call_id,
                    "toolName": tool.name,
                    "arguments": tool.arguments,
                    "isError": tool.is_error,
                    "result": tool.result,
                },
            )
        if not result.text and not result.error:
            return None
        text = result.text or ""
        return (
            yield from transcript.append(
                run.row.session_key,
                role="assistant",
                content=[{"type": "text", "text": text}] if text else [],
                now=now,
                run_id=run.row.run_id,
                meta={
                    "stopReason": result.stop_reason,
                    "provider": result.provider,
                    "model": result.model,
                    "usage": {"input": result.usage.input, "output": result.usage.output},
                    **({"errorMessage": result.error} if result.error else {}),
                    **({"aborted": True} if state is TurnState.CANCELLED else {}),
                },
            )
        )


class Ending:
    """A committed end: the turn, its transcript entry, and the turn that follows in the lane."""

    __slots__ = ("delivers", "entry", "following", "row")

    def __init__(
        self, row: TurnRow, entry: Entry | None, delivers: bool, following: TurnRow | None
    ) -> None:
        self.row = row
        self.entry = entry
        self.delivers = delivers
        self.following = following


def _claim_nothing() -> Work[TurnRow | None]:
    return None
    yield


def _result(run: ActiveRun, state: TurnState) -> TurnResult:
    text: str | None = run.publisher.text
    error: str | None = None
    kind: str | None = None
    stop = "stop"
    if isinstance(run.final, Final):
        text = run.final.text if run.final.text is not None else text
        stop = run.final.stop_reason
    elif isinstance(run.final, Failed):
        error, kind, stop = run.final.message, run.final.kind, "error"
    if state is TurnState.CANCELLED:
        stop = run.cancel_reason or "aborted"
    return TurnResult(
        text=text or None,
        stop_reason=stop,
        usage=run.usage,
        calls=run.model_calls,
        provider=run.provider,
        model=run.model,
        error=error,
        error_kind=kind,
    )


def _with_entry(result: TurnResult, entry: Entry) -> TurnResult:
    return msgspec.structs.replace(result, message_seq=entry.seq, entry_id=entry.entry_id)


def _ended_row(row: TurnRow, state: TurnState, result: TurnResult, now: int) -> TurnRow:
    return msgspec.structs.replace(
        row, state=state, result=result, ended_at=now, owner=None, lease_until=None
    )
