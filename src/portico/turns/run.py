"""Run one claimed turn to its end: drive the runtime, publish, commit what came of it.

Guarantees:
    - The end is committed in one transaction (transcript, turn, usage, deliveries, and the claim
      of the lane's next turn) before anyone is told. While the database is away, it is tried again;
      so is the record that a tool with side effects is about to act.
    - What a runtime yields that cannot be written ends its own turn and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

import structlog

from portico.agents.runtime import (
    AgentEvent,
    AgentRuntime,
    Failed,
    Final,
    HistoryMessage,
    ModelAnswering,
    ToolStarted,
    Turn,
    TurnRequest,
)
from portico.clock import Clock
from portico.events.hub import Hub
from portico.sessions import transcript
from portico.store import Store, Work
from portico.store.patience import until_written
from portico.turns import leases
from portico.turns import store as turn_store
from portico.turns.active import INTERNAL_ERROR, ActiveRun, StoreAway
from portico.turns.budgeting import Budgets
from portico.turns.clean import clean
from portico.turns.ending import Ending, Outbox, Said, Superseded, claim_nothing, commit_end
from portico.turns.feed import Feeds, Started
from portico.turns.files import NoFiles, TurnFiles
from portico.turns.life import TurnState
from portico.turns.model import TurnResult, TurnRow
from portico.turns.publish import RunPublisher

log = structlog.get_logger()

T = TypeVar("T")


class Runtimes(Protocol):
    """Finds the runtime of an agent."""

    def runtime_for(self, agent_id: str) -> AgentRuntime:
        """Return the agent's runtime."""
        ...

    def timeout_s_for(self, agent_id: str) -> float:
        """Return how long one of its runs may take."""
        ...

    def hold(self, runtime: AgentRuntime) -> Callable[[], None]:
        """Keep the runtime open; call what is returned when it is no longer used."""
        ...


class Runner:
    """Runs claimed turns.

    Args:
        live_text_ms: the shortest time between two pieces of live text.
        patience_s: how long a write is tried again while the database is away; not longer than a
            lease, since then the turn is somebody else's to resolve.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        runtimes: Runtimes,
        feeds: Feeds,
        outbox: Outbox,
        budgets: Budgets,
        live_text_ms: int,
        patience_s: float,
        files: TurnFiles | None = None,
    ) -> None:
        self._files = files or NoFiles()
        self._store = store
        self._clock = clock
        self._hub = hub
        self._runtimes = runtimes
        self._live_text_ms = live_text_ms
        self._feeds = feeds
        self._outbox = outbox
        self._budgets = budgets
        self._patience_s = patience_s

    def prepare(self, row: TurnRow) -> ActiveRun:
        """Return a turn as it is to run; its runtime stays open until `release_runtime`."""
        run = self._active(row, self._live_text_ms)
        run.release_runtime = self._runtimes.hold(run.runtime)
        return run

    def orphan(self, row: TurnRow) -> ActiveRun:
        """Return a turn whose owner died; its runtime is only asked what it can promise."""
        return self._active(row, live_text_ms=0)

    def _active(self, row: TurnRow, live_text_ms: int) -> ActiveRun:
        publisher = RunPublisher(self._hub, self._clock, row, live_text_ms=live_text_ms)
        runtime = self._runtimes.runtime_for(row.agent_id)
        return ActiveRun(row, runtime, publisher, self._runtimes.timeout_s_for(row.agent_id))

    async def run(self, run: ActiveRun, next_claim: Callable[[], Work[TurnRow | None]]) -> Ending:
        """Run a turn and commit its end.

        Args:
            next_claim: the work that claims the lane's next turn, done in the same transaction.

        Raises:
            Superseded: another owner took the turn over.
            Exception: the database stayed away; the turn is still `running` in its row.
        """
        self._feeds.open(run.row.run_id).push(Started(run.row))
        run.publisher.started()
        state = await run.drive(self._consume)
        return await self._finish(run, state, next_claim)

    async def close(self, run: ActiveRun, state: TurnState, message: str) -> Ending:
        """Commit the end of a turn that nobody will run (its owner died).

        Raises:
            Superseded: somebody else took it over in the meantime.
        """
        run.final = Failed(message)
        return await self._finish(run, state, claim_nothing)

    async def give_back(self, row: TurnRow) -> None:
        """Let a turn begin again whose owner died; what it reserved is free until then."""

        def work() -> Work[None]:
            if (yield from leases.requeue(row)):
                yield from self._budgets.release(row.run_id)

        await self._store.write(work)

    async def _consume(self, run: ActiveRun) -> None:
        if (refusal := await self._admit(run)) is not None:
            run.final = Failed(refusal, "budget")
            return
        if run.row.attempts > 1:
            run.carried.extend(await self._store.read(turn_store.taken, run.row.run_id))
        request = await self._files.prepared(run.row.request, run.row)
        events = run.runtime.run(self._turn(run, request))
        try:
            await self._follow(run, events)
        finally:
            await _close(events, run)

    async def _admit(self, run: ActiveRun) -> str | None:
        """Reserve what the run may need; return why not.

        Raises:
            StoreAway: it could not be reserved; the runtime must not begin.
        """
        return await self._before_acting(lambda: self._budgets.admit(run.spender), run, "a budget")

    async def _follow(self, run: ActiveRun, events: AsyncIterator[AgentEvent]) -> None:
        feed = self._feeds.open(run.row.run_id)
        async for unsafe in events:
            event = clean(unsafe)
            if isinstance(event, ToolStarted) and event.side_effects:
                await self._commit_unsafe(run)
            run.note(event)
            run.publisher.event(event)
            if isinstance(event, Final | Failed):
                return
            if not isinstance(event, ModelAnswering):  # for the meter only
                feed.push(event)
        log.error("turn.no_final", run_id=run.row.run_id, runtime=run.runtime.name)
        run.final = Failed(INTERNAL_ERROR)

    async def _commit_unsafe(self, run: ActiveRun) -> None:
        """Put on record that something is about to be changed outside.

        Raises:
            Superseded: another owner has the turn; the tool must not act.
            StoreAway: it could not be recorded; the tool must not act.
        """
        is_ours = await self._before_acting(
            lambda: self._store.write(turn_store.mark_unsafe, run.row), run, "a tool call"
        )
        if not is_ours:
            raise Superseded

    async def _before_acting(
        self, write: Callable[[], Awaitable[T]], run: ActiveRun, what: str
    ) -> T:
        try:
            return await self._until_written(write, run, what)
        except Exception as error:
            raise StoreAway(f"{what} could not be recorded") from error

    def _turn(self, run: ActiveRun, request: TurnRequest) -> Turn:
        row = run.row

        async def history(limit: int) -> list[HistoryMessage]:
            before = row.result.message_seq if row.result else None
            found = await self._store.read(
                transcript.told, row.session_id or "", limit=limit, before=before
            )
            return [HistoryMessage(e.role, e.content, e.meta, e.seq) for e in found]

        async def steering() -> TurnRequest:
            return await self._next_steered(run)

        async def steered() -> TurnRequest | None:
            return await self._steered(run)

        return Turn(
            run_id=row.run_id,
            session_key=row.session_key,
            session_id=row.session_id or "",
            agent_id=row.agent_id,
            request=request,
            history=history,
            steering=steering,
            steered=steered,
            attempt=row.attempts,
            origin=row.reply_route,
            file=self._files.load,
            say=run.publisher.tool_says,
        )

    async def _next_steered(self, run: ActiveRun) -> TurnRequest:
        request = await self._steered(run)
        while request is None:
            request = await self._take(run, await run.steering.get())
        return request

    async def _steered(self, run: ActiveRun) -> TurnRequest | None:
        if run.carried:
            return await self._files.prepared(run.carried.popleft(), run.row)
        request = None
        while request is None and not run.steering.empty():
            request = await self._take(run, run.steering.get_nowait())
        return request

    async def _take(self, run: ActiveRun, run_id: str) -> TurnRequest | None:
        """Make a waiting turn part of this one; `None`: it does not wait any more."""
        now = self._clock.now_ms()
        taken = await self._store.write(turn_store.take, run.row, run_id, now=now)
        if taken is None:
            return None
        run.publisher.merged(taken, now)
        self._feeds.close(run_id, taken)
        return await self._files.prepared(taken.request, run.row)

    async def _finish(
        self, run: ActiveRun, state: TurnState, next_claim: Callable[[], Work[TurnRow | None]]
    ) -> Ending:
        now = self._clock.now_ms()
        ending = await self._commit(run, state, next_claim, now)
        run.publisher.ended(ending.row.state, ending.row.result or TurnResult(), now)
        self._feeds.close(run.row.run_id, ending.row)
        self._budgets.tell(ending.notices)
        if ending.delivers:
            self._outbox.wake()
        return ending

    async def _commit(
        self,
        run: ActiveRun,
        state: TurnState,
        next_claim: Callable[[], Work[TurnRow | None]],
        now: int,
    ) -> Ending:
        try:
            return await self._commit_said(run, state, run.said(), next_claim, now)
        except (TypeError, ValueError) as error:
            log.error("turn.unwritable", run_id=run.row.run_id, exc_info=error)
            said = Said(final=Failed(INTERNAL_ERROR))
            return await self._commit_said(run, TurnState.FAILED, said, next_claim, now)

    async def _commit_said(
        self,
        run: ActiveRun,
        state: TurnState,
        said: Said,
        next_claim: Callable[[], Work[TurnRow | None]],
        now: int,
    ) -> Ending:
        attempts = 0

        def work() -> Work[Ending]:
            return commit_end(
                run.row,
                state,
                said,
                outbox=self._outbox,
                settle=lambda usage: self._budgets.settle(run.spender, usage, now=now),
                next_claim=next_claim,
                now=now,
            )

        async def attempt() -> Ending:
            nonlocal attempts
            attempts += 1
            return await self._store.write(work)

        try:
            return await self._until_written(attempt, run, "the end", final=_FINAL)
        except Superseded:
            if attempts == 1:
                raise
            return await self._ended_after_all(run, now)

    async def _until_written(
        self,
        write: Callable[[], Awaitable[T]],
        run: ActiveRun,
        what: str,
        *,
        final: tuple[type[Exception], ...] = (),
    ) -> T:
        """Write what this run's owner alone knows; a lease without the database is lost anyway."""

        def delayed(error: Exception) -> None:
            log.warning(
                "turn.write_delayed", what=what, run_id=run.row.run_id, error=repr(error)[:300]
            )

        return await until_written(
            write, patience_s=self._patience_s, on_delay=delayed, final=final
        )

    async def _ended_after_all(self, run: ActiveRun, now: int) -> Ending:
        """The answer to an earlier commit was lost: find out whether it is our end in the row."""
        row = await self._store.read(turn_store.find, run.row.run_id)
        if row is None or row.is_open or row.fence != run.row.fence or row.ended_at != now:
            raise Superseded
        return Ending(row, None, delivers=True, following=None)


_FINAL = (Superseded, TypeError, ValueError)


async def _close(events: AsyncIterator[AgentEvent], run: ActiveRun) -> None:
    """Let a runtime clean up now, not when the garbage collector finds it."""
    close = getattr(events, "aclose", None)
    if close is None:
        return
    try:
        await close()
    except Exception as error:  # its answer is complete; only its clean-up failed
        log.error("turn.runtime_cleanup_failed", run_id=run.row.run_id, exc_info=error)
