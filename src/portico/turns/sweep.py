"""The sweep: what keeps the promise that a turn that was accepted ends.

Guarantees: leases of what runs here are renewed; a run whose owner died is resumed or closed as
interrupted; a run in our name that does not run here is begun or closed; a waiting turn whose
wake-up was lost is claimed, one whose time is up ends.
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from portico.clock import Clock
from portico.store import Store
from portico.tasks import Tasks
from portico.turns import leases
from portico.turns import store as turn_store
from portico.turns.announcing import Announcer
from portico.turns.ending import Superseded
from portico.turns.lanes import Lanes
from portico.turns.life import TurnState, after_owner_died
from portico.turns.model import Owner, TurnRow
from portico.turns.run import Runner

log = structlog.get_logger()

CLOSE_SWEEP_S = 0.2  # while another process hands its lanes over, or takes ours
INTERRUPTED = "The gateway was restarted while I was answering, and I could not safely begin again."


class Sweep:
    """Looks for what nobody else looks after, again and again.

    Attributes:
        is_alone: no other process works on the same lanes.
        interval_s: how often it looks.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        lanes: Lanes,
        runner: Runner,
        announcer: Announcer,
        tasks: Tasks,
        owner: Owner,
        interval_s: float,
        is_alone: bool,
    ) -> None:
        self._store = store
        self._clock = clock
        self._lanes = lanes
        self._runner = runner
        self._announcer = announcer
        self._tasks = tasks
        self._owner = owner
        self._usual_interval_s = interval_s
        self._wanted = asyncio.Event()
        self._strays: set[str] = set()  # running in our name, but not here, at the last look
        self.is_alone = is_alone
        self.interval_s = interval_s

    async def start(self) -> None:
        """Take over what a dead owner left, then keep looking."""
        await self._rescue(alone=self.is_alone)
        await self._lanes.claim_ready()
        self._tasks.start(self._keep_looking(), name="turns.sweep")

    def keep_company(self, *, alone: bool, closely: bool) -> None:
        """Another process begins or ceases to work on the same lanes; see `Turns`."""
        usual = self._usual_interval_s
        self.is_alone = alone
        self.interval_s = min(CLOSE_SWEEP_S, usual) if closely else usual
        self.soon()

    def soon(self) -> None:
        """Look now."""
        self._wanted.set()

    async def _keep_looking(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.interval_s):
                    await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.look()
            except Exception as error:  # the database may be away; the next sweep tries again
                log.error("turns.sweep_failed", exc_info=error)

    async def look(self) -> None:
        """Look once."""
        await self._renew()
        await self._rescue(alone=False)
        await self._expire()
        await self._announcer.ended_elsewhere(
            running={run.row.run_id for run in self._lanes.runs()}
        )
        await self._lanes.claim_ready()

    # -- what runs in our name -------------------------------------------------------------------

    async def _renew(self) -> None:
        runs = self._lanes.runs()
        if not runs and not await self._store.read(leases.holds_any, self._owner.name):
            return
        until = self._owner.lease_until(self._clock.now_ms())
        held = await self._store.write(leases.renew, self._owner.name, lease_until=until)
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
        lost = self._lanes.lost
        lost.intersection_update(held)
        strays = held - {run.row.run_id for run in self._lanes.runs()}
        for run_id in strays & (self._strays | lost):
            row = await self._store.read(turn_store.find, run_id)
            if row is None or row.owner != self._owner.name or self._runs_here(row):
                continue
            if run_id in lost:
                lost.discard(run_id)
                await self._resolve(row)
            else:
                log.info("turn.adopted", run_id=run_id)
                self._lanes.launch(row)
        self._strays = strays

    def _runs_here(self, row: TurnRow) -> bool:
        return self._lanes.find_run(row.session_key, row.run_id) is not None

    # -- what a dead owner left ------------------------------------------------------------------

    async def _rescue(self, *, alone: bool) -> None:
        now = self._clock.now_ms()
        found = await self._store.read(leases.orphans, self._owner.name, alone=alone, now=now)
        for row in found:
            if self._runs_here(row):
                continue
            try:
                await self._resolve(row)
            except Exception as error:  # one bad row must not hold up the others
                log.error("turn.rescue_failed", run_id=row.run_id, exc_info=error)

    async def _resolve(self, row: TurnRow) -> None:
        run = self._runner.orphan(row)
        state = after_owner_died(
            attempts=row.attempts,
            unsafe=row.unsafe,
            resumable=run.runtime.abilities.resumable,
            cancelled=row.cancel_reason is not None,
        )
        log.info("turn.orphan", run_id=row.run_id, becomes=state.value, attempts=row.attempts)
        if state is TurnState.QUEUED:
            await self._runner.give_back(row)
            return
        try:
            ending = await self._runner.close(run, state, INTERRUPTED)
        except Superseded:
            log.info("turn.orphan_taken", run_id=row.run_id)
            return
        self._announcer.ended(ending)

    # -- what has waited too long ----------------------------------------------------------------

    async def _expire(self) -> None:
        now = self._clock.now_ms()
        for run_id in await self._store.read(leases.overdue, now=now):
            row = await self._store.write(
                turn_store.end_queued, run_id, TurnState.EXPIRED, turn_store.EXPIRED, now=now
            )
            if row is not None:
                self._announcer.ended_waiting(row, now)
