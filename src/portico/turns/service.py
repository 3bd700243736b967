"""Turns: enqueue, begin, steer, cancel, wait, resume.

Guarantees:
    - One run at a time per session, in arrival order, on any number of replicas (claims are fenced
      by the database; see `tables.py`).
    - What was accepted ends: a run whose owner died is resumed or closed as interrupted, with a
      sentence to the person; a waiting turn whose wake-up was lost is found by the sweep.
    - Cancel works while queued, while running, and for a run another replica owns.

Not here: accepting messages (inbox), what runs in this process (lanes.py), running one turn
(run.py), keeping the promise (sweep.py), sending answers (outbox).
"""

from __future__ import annotations

import asyncio

from portico.budgets.model import Spender
from portico.clock import Clock
from portico.events.hub import Hub
from portico.observe.metrics import Metrics
from portico.sessions.model import Session, Spent
from portico.store import Store, Work
from portico.tasks import Tasks
from portico.turns import leases, spending
from portico.turns import store as turn_store
from portico.turns.announcing import Announcer, Changes
from portico.turns.budgeting import Budgets, Unlimited
from portico.turns.ending import Outbox
from portico.turns.feed import Feeds, RunFeed
from portico.turns.files import TurnFiles
from portico.turns.lanes import Lanes
from portico.turns.life import TurnState
from portico.turns.model import Enqueued, NewTurn, Owner, TurnLimits, TurnRow
from portico.turns.run import Runner, Runtimes
from portico.turns.sweep import Sweep

FORGET_AT_ONCE = 500


class Turns:
    """Every turn of the house, as its other rooms use them."""

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
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._outbox = outbox
        self._budgets = budgets or Unlimited()
        self._owner = Owner(owner, limits.lease_s)
        self._feeds = Feeds()
        self._announcer = Announcer(
            store=store,
            clock=clock,
            hub=hub,
            feeds=self._feeds,
            changes=changes,
            tasks=tasks,
            metrics=metrics or Metrics(),
        )
        runner = Runner(
            store=store,
            clock=clock,
            hub=hub,
            runtimes=runtimes,
            feeds=self._feeds,
            outbox=outbox,
            budgets=self._budgets,
            files=files,
            live_text_ms=limits.live_text_ms,
            patience_s=limits.lease_s,
        )
        self._lanes = Lanes(
            store=store,
            clock=clock,
            runner=runner,
            announcer=self._announcer,
            tasks=tasks,
            owner=self._owner,
            max_concurrent=limits.max_concurrent,
        )
        self._sweep = Sweep(
            store=store,
            clock=clock,
            lanes=self._lanes,
            runner=runner,
            announcer=self._announcer,
            tasks=tasks,
            owner=self._owner,
            interval_s=limits.sweep_s,
            is_alone=alone,
        )

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take over what a dead owner left, then keep leases and sweep."""
        await self._sweep.start()

    def run_at_most(self, count: int) -> None:
        """Let so many turns run at once from now on; those that run go on."""
        self._lanes.run_at_most(count)

    def keep_company(self, *, alone: bool, closely: bool) -> None:
        """Another process begins or ceases to work on the same lanes.

        Args:
            alone: there is no other.
            closely: it is our successor or our predecessor: look often at what it leaves to us.
        """
        self._sweep.keep_company(alone=alone, closely=closely)

    def retire(self) -> None:
        """Start nothing new: what waits is another process's from now on."""
        self._lanes.retire()

    def resume(self) -> None:
        """Start turns again after all."""
        self._lanes.resume()
        self._sweep.soon()

    async def outlive(self, owner: str) -> None:
        """Let what a process ran that is gone for certain be taken over, by whoever looks first."""
        await self._store.write(leases.lapse, owner)
        self._sweep.soon()

    async def drain(self, deadline_s: float) -> None:
        """Start nothing new and let running turns finish, for at most `deadline_s`.

        What still runs then stays `running` in its row and is resumed by the next owner. Those who
        wait for a turn that did not end are answered `Unavailable`.
        """
        await self._lanes.drain(deadline_s)
        self._feeds.detach()  # whoever waits for what will not run here is told so, in time

    @property
    def running(self) -> int:
        """How many turns run in this process."""
        return len(self._lanes)

    # -- putting turns in ------------------------------------------------------------------------

    def enqueue(self, new: NewTurn) -> Work[Enqueued]:
        """The work that puts a turn into its lane; call `begin` once it is committed."""
        now = self._clock.now_ms()
        enqueued = yield from turn_store.enqueue(
            new,
            owner=self._owner.name,
            lease_until=self._owner.lease_until(now),
            slots=self._lanes.slots,
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
            self._announcer.dropped(run_id, by=row)
        if enqueued.dropped:
            self._outbox.wake()
        if enqueued.claimed:
            self._lanes.launch(row)
            return
        self._announcer.waits(row)
        if enqueued.running is None:
            self._lanes.wake(row.session_key)
        elif row.queue_mode == "interrupt":
            self._interrupt(row.session_key, enqueued.running)
        elif row.queue_mode == "steer":
            self._steer(row, enqueued.running)

    def _steer(self, row: TurnRow, running: str) -> None:
        active = self._lanes.find_run(row.session_key, running)
        if active is not None and active.can_steer():
            active.steering.put_nowait(row.run_id)

    def _interrupt(self, session_key: str, running: str) -> None:
        active = self._lanes.find_run(session_key, running)
        if active is not None:
            active.cancel("interrupted")
        else:  # its owner finds it when it renews its lease
            ask = self._store.write(turn_store.ask_cancel, running, "interrupted")
            self._tasks.start(ask, name=f"turn.interrupt:{running}")

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
        run = self._lanes.find(session_key)
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
        feed = self._feeds.find(run_id) if self._sweep.is_alone else None
        while True:
            if feed is None:
                row = await self.find(run_id)
                if row is None or not row.is_open:
                    return row
                feed = self._feeds.open(run_id)
            try:
                async with asyncio.timeout(self._sweep.interval_s):
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
            self._announcer.cancelled_waiting(row, now)
            return True
        row = await self._store.write(turn_store.ask_cancel, run_id, reason)
        if row is None:
            return False
        active = self._lanes.find_run(row.session_key, run_id)
        if active is not None:
            active.cancel(reason)
        ended = await self.wait(run_id, self._owner.lease_s)
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
