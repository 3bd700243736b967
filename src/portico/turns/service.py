"""Turns: enqueue, begin, steer, cancel, wait, resume.

Guarantees:
    - One run at a time per session, in arrival order, on any number of replicas (claims are fenced
      by the database; see `tables.py`).
    - What was accepted ends: a run whose owner died is resumed or closed as interrupted, with a
      sentence to the person; a waiting turn whose wake-up was lost is found by the sweep.
    - Cancel works while queued, while running, and for a run another replica owns.

Not here: accepting messages (inbox), running one turn (run.py), sending answers (outbox).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec
import structlog

from portico.agents.runtime import AgentRuntime
from portico.budgets.model import Spender
from portico.clock import Clock
from portico.events.hub import Hub
from portico.observe.metrics import Metrics
from portico.sessions.model import Entry, Session, Spent
from portico.store import Store, Work
from portico.tasks import Tasks
from portico.turns import leases, spending
from portico.turns import store as turn_store
from portico.turns.active import ActiveRun
from portico.turns.budgeting import Budgets, Unlimited
from portico.turns.ending import Ending, Outbox, Superseded
from portico.turns.feed import Feeds, RunFeed
from portico.turns.files import TurnFiles
from portico.turns.life import TurnState, after_owner_died
from portico.turns.model import Enqueued, NewTurn, TurnResult, TurnRow
from portico.turns.publish import RunPublisher
from portico.turns.run import Runner

log = structlog.get_logger()

MAX_HUNGRY = 10_000  # lanes beyond it are found by the sweep
FORGET_AT_ONCE = 500
CLOSE_SWEEP_S = 0.2  # while another process hands its lanes over, or takes ours
INTERRUPTED = "The gateway was restarted while I was answering, and I could not safely begin again."


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """Numbers the path keeps to; times in the unit of their name."""

    max_concurrent: int = 64
    lease_s: float = 30.0
    sweep_s: float = 5.0
    live_text_ms: int = 75


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


class Changes(Protocol):
    """Tells subscribers of the session list what changed."""

    def announce(self, session_key: str, reason: str) -> None:
        """Publish `sessions.changed` for a session."""
        ...

    def message(self, session_key: str, entry: Entry) -> None:
        """Publish `session.message` for a new transcript entry."""
        ...

    def wrote(self, session_key: str, session_id: str, seq: int) -> None:
        """The same for an entry the caller only knows the place of."""
        ...


class Turns:
    """The lanes of this process."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        runtimes: Runtimes,
        outbox: Outbox,
        changes: Changes,
        tasks: Tasks,
        owner: str,
        alone: bool,
        limits: TurnLimits,
        budgets: Budgets | None = None,
        files: TurnFiles | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._budgets = budgets or Unlimited()
        self._metrics = metrics or Metrics()
        self._store = store
        self._clock = clock
        self._hub = hub
        self._runtimes = runtimes
        self._changes = changes
        self._outbox = outbox
        self._tasks = tasks
        self._owner = owner
        self._alone = alone
        self._limits = limits
        self._feeds = Feeds()
        self._runner = Runner(
            patience_s=limits.lease_s,
            store=store,
            clock=clock,
            feeds=self._feeds,
            outbox=outbox,
            budgets=self._budgets,
            files=files,
        )
        self._active: dict[str, ActiveRun] = {}  # by session key
        self._claiming = 0  # slots taken by claims on their way
        self._hungry: dict[str, None] = {}  # lanes that found every slot taken, in order
        self._strays: set[str] = set()  # running in our name, but not here, at the last sweep
        self._lost: set[str] = set()  # ran here; their end could not be committed
        self._accepting = True
        self._sweep_s = limits.sweep_s
        self._sweep_wanted = asyncio.Event()
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()

    def run_at_most(self, count: int) -> None:
        """Let so many turns run at once from now on; those that run go on."""
        self._limits = replace(self._limits, max_concurrent=count)
        self._tasks.start(self._claim_ready(), name="turns.claim")

    # -- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take over what a dead owner left, then keep leases and sweep."""
        await self._rescue(alone=self._alone)
        await self._claim_ready()
        self._tasks.start(self._keep_sweeping(), name="turns.sweep")

    def keep_company(self, *, alone: bool, closely: bool) -> None:
        """Another process begins or ceases to work on the same lanes.

        Args:
            alone: there is no other.
            closely: it is our successor or our predecessor: look often at what it leaves to us.
        """
        self._alone = alone
        self._sweep_s = (
            min(CLOSE_SWEEP_S, self._limits.sweep_s) if closely else self._limits.sweep_s
        )
        self._sweep_wanted.set()

    def retire(self) -> None:
        """Start nothing new: what waits is another process's from now on."""
        self._accepting = False
        self._hungry.clear()

    def resume(self) -> None:
        """Start turns again after all."""
        self._accepting = True
        self._sweep_wanted.set()

    async def outlive(self, owner: str) -> None:
        """Let what a process ran that is gone for certain be taken over, by whoever looks first."""
        await self._store.write(leases.lapse, owner)
        self._sweep_wanted.set()

    async def drain(self, deadline_s: float) -> None:
        """Start nothing new and let running turns finish, for at most `deadline_s`.

        What still runs then stays `running` in its row and is resumed by the next owner. Those who
        wait for a turn that did not end are answered `Unavailable`.
        """
        self._accepting = False
        try:
            async with asyncio.timeout(deadline_s):
                await self._idle.wait()
        except TimeoutError:
            log.warning("turns.drain_deadline", still_running=len(self._active))
        self._feeds.detach()  # whoever waits for what will not run here is told so, in time

    @property
    def running(self) -> int:
        """How many turns run in this process."""
        return len(self._active)

    # -- putting turns in ------------------------------------------------------------------------

    def enqueue(self, new: NewTurn) -> Work[Enqueued]:
        """The work that puts a turn into its lane; call `begin` once it is committed."""
        now = self._clock.now_ms()
        enqueued = yield from turn_store.enqueue(
            new,
            owner=self._owner,
            lease_until=self._lease_until(now),
            slots=self._limits.max_concurrent if self._accepting else 0,
            now=now,
        )
        for run_id in enqueued.dropped:
            yield from self._answer_dropped(run_id, now)
        return enqueued

    def _answer_dropped(self, run_id: str, now: int) -> Work[None]:
        """Whoever wrote on a channel is told: overflow is never silence."""
        row = yield from turn_store.find(run_id)
        if row is not None:
            yield from self._outbox.enqueue(
                row.reply_route,
                turn_store.DROPPED,
                run_id=run_id,
                session_key=row.session_key,
                now=now,
            )

    def begin(self, enqueued: Enqueued) -> None:
        """Act on what `enqueue` committed: run, steer, interrupt, or leave it to the lane."""
        row = enqueued.row
        for run_id in enqueued.dropped:
            self._say_dropped(row, run_id)
        if enqueued.dropped:
            self._outbox.wake()
        if enqueued.claimed:
            self._launch(row)
            return
        self._feeds.open(row.run_id)
        active = self._active.get(row.session_key)
        runs_here = active is not None and active.row.run_id == enqueued.running
        if enqueued.running is None:
            self._wake(row.session_key)
        elif row.queue_mode == "interrupt":
            self._interrupt(enqueued.running, active if runs_here else None)
        elif row.queue_mode == "steer" and active is not None and runs_here and active.can_steer():
            active.steering.put_nowait(row.run_id)
        self._changes.announce(row.session_key, "send")

    def _interrupt(self, run_id: str, active: ActiveRun | None) -> None:
        if active is not None:
            active.cancel("interrupted")
        else:  # its owner finds it when it renews its lease
            ask = self._store.write(turn_store.ask_cancel, run_id, "interrupted")
            self._tasks.start(ask, name=f"turn.interrupt:{run_id}")

    def _say_dropped(self, row: TurnRow, run_id: str) -> None:
        if self._feeds.find(run_id) is not None:
            self._tasks.start(self._close_feed(run_id), name=f"turn.dropped:{run_id}")
        self._hub.publish(
            "chat",
            {
                "runId": run_id,
                "sessionKey": row.session_key,
                "agentId": row.agent_id,
                "seq": 0,
                "state": "error",
                "errorMessage": turn_store.DROPPED,
                "errorKind": "unknown",
                "stopReason": "dropped",
            },
            session_key=row.session_key,
            droppable=False,
        )

    async def _close_feed(self, run_id: str) -> None:
        row = await self._store.read(turn_store.find, run_id)
        if row is not None and not row.is_open:
            self._feeds.close(run_id, row)

    def record(self, session: Session, spent: Spent) -> Work[None]:
        """The work that keeps what was spent for a session outside its turns."""
        now = self._clock.now_ms()
        run_id = yield from spending.record(session, spent, now=now)
        spender = Spender(
            run_id=run_id,
            agent_id=session.agent_id,
            session_key=session.key,
            channel=session.channel,
        )
        yield from self._budgets.charge(spender, spent.usage, now=now)

    # -- running ---------------------------------------------------------------------------------

    def _has_slot(self) -> bool:
        return len(self._active) + self._claiming < self._limits.max_concurrent

    def _lease_until(self, now: int) -> int:
        return now + int(self._limits.lease_s * 1000)

    def _wake(self, session_key: str) -> None:
        """Claim the lane's next turn, as soon as there is a slot."""
        if not self._accepting:
            return
        if self._has_slot():
            self._claiming += 1
            self._idle.clear()
            self._tasks.start(self._claim_lane(session_key), name=f"lane.claim:{session_key}")
        elif len(self._hungry) < MAX_HUNGRY:
            self._hungry.setdefault(session_key)

    async def _claim_lane(self, session_key: str) -> None:
        try:
            row = await self._store.write(self._claim, session_key)
            if row is not None:
                self._launch(row)
        finally:
            self._claiming -= 1
            self._feed_hungry()

    def _claim(self, session_key: str) -> Work[TurnRow | None]:
        if not self._accepting:
            return None
        now = self._clock.now_ms()
        until = self._lease_until(now)
        return (
            yield from turn_store.claim(session_key, owner=self._owner, lease_until=until, now=now)
        )

    def _claim_next(self, run: ActiveRun) -> Callable[[], Work[TurnRow | None]]:
        """The claim in a run's end: its lane goes on, unless others wait for a slot."""

        def work() -> Work[TurnRow | None]:
            run.gave_way = bool(self._hungry)
            return None if run.gave_way else (yield from self._claim(run.row.session_key))

        return work

    def _launch(self, row: TurnRow) -> None:
        active = self._active.get(row.session_key)
        if active is not None and active.row.fence >= row.fence and active.row.run_id == row.run_id:
            return
        run = self._active_run(row, self._limits.live_text_ms)
        self._active[row.session_key] = run
        self._feeds.open(row.run_id)
        self._idle.clear()
        now = self._clock.now_ms()
        for run_id in row.merged:
            run.publisher.merged(msgspec.structs.replace(row, run_id=run_id), now)
            self._tasks.start(self._close_feed(run_id), name=f"turn.merged:{run_id}")
        is_shown = row.attempts == 1 and row.request.quiet is None
        if is_shown and row.result and row.result.message_seq and row.session_id:
            self._changes.wrote(row.session_key, row.session_id, row.result.message_seq)
        self._changes.announce(row.session_key, "send")
        run.task = self._tasks.start(self._run(run), name=f"turn:{row.run_id}")

    def _active_run(self, row: TurnRow, live_text_ms: int) -> ActiveRun:
        publisher = RunPublisher(self._hub, self._clock, row, live_text_ms=live_text_ms)
        runtime = self._runtimes.runtime_for(row.agent_id)
        run = ActiveRun(row, runtime, publisher, self._runtimes.timeout_s_for(row.agent_id))
        run.release_runtime = self._runtimes.hold(runtime)
        return run

    async def _run(self, run: ActiveRun) -> None:
        key = run.row.session_key
        ending: Ending | None = None
        try:
            ending = await self._runner.run(run, self._claim_next(run))
        except Superseded:
            log.warning("turn.superseded", run_id=run.row.run_id, session_key=key)
        except Exception as error:  # the next sweep resolves it
            log.error("turn.end_lost", run_id=run.row.run_id, session_key=key, exc_info=error)
            self._lost.add(run.row.run_id)
        finally:
            run.publisher.stop()
            run.release_runtime()
            if self._active.get(key) is run:
                del self._active[key]
            self._go_on(run, ending)
        if ending is not None:
            self._tell(ending)
        self._changes.announce(key, "run-capacity")

    def _go_on(self, run: ActiveRun, ending: Ending | None) -> None:
        if ending is not None and ending.following is not None:
            self._launch(ending.following)
        elif run.gave_way and len(self._hungry) < MAX_HUNGRY:
            self._hungry.setdefault(run.row.session_key)
        self._feed_hungry()

    def _feed_hungry(self) -> None:
        while self._hungry and self._has_slot() and self._accepting:
            key = next(iter(self._hungry))
            del self._hungry[key]
            self._wake(key)
        if not self._active and not self._claiming:
            self._idle.set()

    # -- asking ----------------------------------------------------------------------------------

    def feed(self, run_id: str) -> RunFeed | None:
        """Return a run's live feed, when this process has it."""
        return self._feeds.find(run_id)

    def follow(self, row: TurnRow) -> RunFeed | None:
        """Return the live feed of a turn, opened early if it has not begun.

        Returns `None` for a turn that ended and whose steps are no longer kept.
        """
        return self._feeds.open(row.run_id) if row.is_open else self._feeds.find(row.run_id)

    async def find(self, run_id: str) -> TurnRow | None:
        """Return a turn, in whatever state."""
        return await self._store.read(turn_store.find, run_id)

    async def find_all(self, run_ids: list[str]) -> dict[str, TurnRow | None]:
        """Return turns by run id."""
        return await self._store.read(turn_store.find_all, run_ids)

    async def open_in_lane(self, session_key: str) -> list[TurnRow]:
        """Return what runs and waits for a session, in order."""
        return await self._store.read(turn_store.open_in_lane, session_key)

    def active_run(self, session_key: str) -> tuple[str, str] | None:
        """Return (run id, text so far) of the session's run in this process."""
        run = self._active.get(session_key)
        return None if run is None else (run.row.run_id, run.publisher.shown)

    async def wait(self, run_id: str, timeout_s: float | None) -> TurnRow | None:
        """Wait until a turn has ended and return it; the open row when the time is up.

        A turn that became part of another (collect, steer) has ended when that one has; then the
        other one's row is returned. Returns `None` for a run nobody knows.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    row = await self._ended(run_id)
                    if row is None or row.merged_into is None:
                        return row
                    run_id = row.merged_into
        except TimeoutError:
            return await self.find(run_id)

    async def _ended(self, run_id: str) -> TurnRow | None:
        # Alone, this process knows of every end first; else its row has to be looked into.
        feed = self._feeds.find(run_id) if self._alone else None
        while True:
            if feed is None:
                row = await self.find(run_id)
                if row is None or not row.is_open:
                    return row
                feed = self._feeds.open(run_id)
            try:
                async with asyncio.timeout(self._sweep_s):
                    return await feed.wait_end()
            except TimeoutError:  # another replica may own the run: look into its row again
                feed = None

    async def forget(self, *, before_ms: int) -> int:
        """Delete turns that ended before a time, some at a time; return how many."""
        total = 0
        while count := await self._store.write(
            leases.forget, before_ms=before_ms, count=FORGET_AT_ONCE
        ):
            total += count
        return total

    # -- cancelling ------------------------------------------------------------------------------

    async def cancel(self, run_id: str, reason: str) -> bool:
        """Cancel a run, queued or running, and return once that is certain.

        Returns `False` when there is no such open run.
        """
        now = self._clock.now_ms()
        row = await self._store.write(
            turn_store.end_queued, run_id, TurnState.CANCELLED, reason, now=now
        )
        if row is not None:
            self._cancelled_while_queued(row, now)
            return True
        row = await self._store.write(turn_store.ask_cancel, run_id, reason)
        if row is None:
            return False
        active = self._active.get(row.session_key)
        if active is not None and active.row.run_id == run_id:
            active.cancel(reason)
        ended = await self.wait(run_id, self._limits.lease_s)
        return ended is not None and ended.state is TurnState.CANCELLED

    async def cancel_session(
        self, session_key: str, reason: str, *, queued: bool = True
    ) -> list[str]:
        """Cancel what waits (unless `queued` is false) and runs in a session; return run ids."""
        cancelled = []
        for row in reversed(await self.open_in_lane(session_key)):
            if row.state is TurnState.QUEUED and not queued:
                continue
            if await self.cancel(row.run_id, reason):
                cancelled.append(row.run_id)
        return cancelled[::-1]

    def _cancelled_while_queued(self, row: TurnRow, now: int) -> None:
        self._ended_unrun(row, now)
        self._changes.announce(row.session_key, "abort")

    def _ended_unrun(self, row: TurnRow, now: int) -> None:
        publisher = RunPublisher(self._hub, self._clock, row, live_text_ms=0)
        publisher.ended(row.state, row.result or TurnResult(), now)
        self._feeds.close(row.run_id, row)
        self._measure(row)

    def _tell(self, ending: Ending) -> None:
        self._measure(ending.row)
        if ending.entry is not None:
            self._changes.message(ending.row.session_key, ending.entry)

    def _measure(self, row: TurnRow) -> None:
        state, metrics = row.state.value, self._metrics
        metrics.turns_ended.inc(state)
        if row.started_at is not None and row.ended_at is not None:
            metrics.turn_wait_seconds.observe((row.started_at - row.queued_at) / 1000)
            metrics.turn_seconds.observe((row.ended_at - row.started_at) / 1000, state)

    # -- keeping the promise ---------------------------------------------------------------------

    async def _keep_sweeping(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._sweep_s):
                    await self._sweep_wanted.wait()
            self._sweep_wanted.clear()
            try:
                await self._sweep()
            except Exception as error:  # the database may be away; the next sweep tries again
                log.error("turns.sweep_failed", exc_info=error)

    async def _sweep(self) -> None:
        await self._renew()
        await self._rescue(alone=False)
        await self._expire()
        await self._close_feeds()
        await self._claim_ready()

    async def _renew(self) -> None:
        runs = [*self._active.values()]
        if not runs and not await self._store.read(leases.holds_any, self._owner):
            return
        until = self._lease_until(self._clock.now_ms())
        held = await self._store.write(leases.renew, self._owner, lease_until=until)
        for run in runs:
            fence, reason = held.get(run.row.run_id, (-1, None))
            if fence != run.row.fence:
                run.supersede()
            elif reason is not None:
                run.cancel(reason)
        await self._adopt(set(held))

    async def _adopt(self, held: set[str]) -> None:
        """Find turns that run in our name, but not here.

        Their claim was committed and whoever waited for it had gone (a cancelled request): they are
        begun. Or their end could not be committed: they are resolved like a dead owner's.
        """
        self._lost &= held
        strays = held - {run.row.run_id for run in self._active.values()}
        for run_id in strays & (self._strays | self._lost):
            row = await self._store.read(turn_store.find, run_id)
            if row is None or row.owner != self._owner or self._is_running_here(row):
                continue
            if run_id in self._lost:
                self._lost.discard(run_id)
                await self._resolve_orphan(row)
            else:
                log.info("turn.adopted", run_id=run_id)
                self._launch(row)
        self._strays = strays

    async def _rescue(self, *, alone: bool) -> None:
        now = self._clock.now_ms()
        found = await self._store.read(leases.orphans, self._owner, alone=alone, now=now)
        for row in found:
            if self._is_running_here(row):
                continue
            try:
                await self._resolve_orphan(row)
            except Exception as error:  # one bad row must not hold up the others
                log.error("turn.rescue_failed", run_id=row.run_id, exc_info=error)

    def _is_running_here(self, row: TurnRow) -> bool:
        active = self._active.get(row.session_key)
        return active is not None and active.row.run_id == row.run_id

    async def _resolve_orphan(self, row: TurnRow) -> None:
        run = self._active_run(row, live_text_ms=0)
        state = after_owner_died(
            attempts=row.attempts,
            unsafe=row.unsafe,
            resumable=run.runtime.abilities.resumable,
            cancelled=row.cancel_reason is not None,
        )
        log.info("turn.orphan", run_id=row.run_id, becomes=state.value, attempts=row.attempts)
        if state is TurnState.QUEUED:
            await self._store.write(self._requeue, row)
            return
        try:
            ending = await self._runner.close(run, state, INTERRUPTED)
        except Superseded:
            log.info("turn.orphan_taken", run_id=row.run_id)
            return
        self._tell(ending)

    def _requeue(self, row: TurnRow) -> Work[None]:
        if (yield from leases.requeue(row)):
            yield from self._budgets.release(row.run_id)

    async def _close_feeds(self) -> None:
        """Close the feeds of runs that ended elsewhere, so that nobody follows them for ever."""
        here = {run.row.run_id for run in self._active.values()}
        unsure = [run_id for run_id in self._feeds.open_ids() if run_id not in here]
        for run_id, row in (await self._store.scan(turn_store.find_all, unsure)).items():
            if row is None:
                self._feeds.forget(run_id)
            elif not row.is_open:
                self._feeds.close(run_id, row)

    async def _expire(self) -> None:
        now = self._clock.now_ms()
        for run_id in await self._store.read(leases.overdue, now=now):
            row = await self._store.write(
                turn_store.end_queued, run_id, TurnState.EXPIRED, turn_store.EXPIRED, now=now
            )
            if row is not None:
                self._ended_unrun(row, now)

    async def _claim_ready(self) -> None:
        free = self._limits.max_concurrent - len(self._active) - self._claiming
        if free <= 0 or not self._accepting:
            return
        for key in await self._store.read(leases.ready_lanes, free):
            self._wake(key)
