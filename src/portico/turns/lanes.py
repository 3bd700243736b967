"""The turns that run in this process, and the lanes that wait for a slot.

Guarantees: at most `max_concurrent` turns run or are being claimed; a run's lane goes on at once,
unless other lanes wait for a slot: then those come first, in order.

Not here: who may claim what (store.py), running one turn (run.py), lanes nobody woke (sweep.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from portico.clock import Clock
from portico.store import Store, Work
from portico.tasks import Tasks
from portico.turns import leases
from portico.turns import store as turn_store
from portico.turns.active import ActiveRun
from portico.turns.announcing import Announcer
from portico.turns.ending import Ending, Superseded
from portico.turns.model import Owner, TurnRow
from portico.turns.run import Runner

log = structlog.get_logger()

MAX_HUNGRY = 10_000  # lanes beyond it are found by the sweep


class Lanes:
    """What runs here, and what runs next."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        runner: Runner,
        announcer: Announcer,
        tasks: Tasks,
        owner: Owner,
        max_concurrent: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._runner = runner
        self._announcer = announcer
        self._tasks = tasks
        self._owner = owner
        self._max_concurrent = max_concurrent
        self._active: dict[str, ActiveRun] = {}  # by session key
        self._claiming = 0  # slots taken by claims on their way
        self._hungry: dict[str, None] = {}  # lanes that found every slot taken, in order
        self._is_accepting = True
        self._idle = asyncio.Event()
        self._idle.set()
        self.lost: set[str] = set()  # ran here; their end could not be committed

    # -- what runs -------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._active)

    def runs(self) -> list[ActiveRun]:
        """Return what runs in this process."""
        return [*self._active.values()]

    def find(self, session_key: str) -> ActiveRun | None:
        """Return the session's run in this process."""
        return self._active.get(session_key)

    def find_run(self, session_key: str, run_id: str | None) -> ActiveRun | None:
        """Return a run of the session, when it runs in this process."""
        active = self._active.get(session_key)
        return active if active is not None and active.row.run_id == run_id else None

    # -- how much may run ------------------------------------------------------------------------

    @property
    def slots(self) -> int:
        """How many turns may run at once in this process, now."""
        return self._max_concurrent if self._is_accepting else 0

    def run_at_most(self, count: int) -> None:
        """Let so many turns run at once from now on; those that run go on."""
        self._max_concurrent = count
        self._tasks.start(self.claim_ready(), name="turns.claim")

    def retire(self) -> None:
        """Start nothing new: what waits is another process's from now on."""
        self._is_accepting = False
        self._hungry.clear()

    def resume(self) -> None:
        """Start turns again after all."""
        self._is_accepting = True

    async def drain(self, deadline_s: float) -> None:
        """Start nothing new and let running turns finish, for at most `deadline_s`."""
        self._is_accepting = False
        try:
            async with asyncio.timeout(deadline_s):
                await self._idle.wait()
        except TimeoutError:
            log.warning("turns.drain_deadline", still_running=len(self._active))

    # -- claiming --------------------------------------------------------------------------------

    async def claim_ready(self) -> None:
        """Claim what waits in idle lanes, as far as there are slots."""
        free = self._free_slots()
        if free <= 0:
            return
        for key in await self._store.read(leases.ready_lanes, free):
            self.wake(key)

    def wake(self, session_key: str) -> None:
        """Claim the lane's next turn, as soon as there is a slot."""
        if not self._is_accepting:
            return
        if self._free_slots() > 0:
            self._claiming += 1
            self._idle.clear()
            self._tasks.start(self._claim_lane(session_key), name=f"lane.claim:{session_key}")
        else:
            self._go_hungry(session_key)

    def _free_slots(self) -> int:
        return self.slots - len(self._active) - self._claiming

    def _go_hungry(self, session_key: str) -> None:
        if len(self._hungry) < MAX_HUNGRY:
            self._hungry.setdefault(session_key)

    async def _claim_lane(self, session_key: str) -> None:
        try:
            row = await self._store.write(self._claim, session_key)
            if row is not None:
                self.launch(row)
        finally:
            self._claiming -= 1
            self._feed_hungry()

    def _claim(self, session_key: str) -> Work[TurnRow | None]:
        if not self._is_accepting:
            return None
        now = self._clock.now_ms()
        until = self._owner.lease_until(now)
        return (
            yield from turn_store.claim(
                session_key, owner=self._owner.name, lease_until=until, now=now
            )
        )

    def _claim_next(self, run: ActiveRun) -> Callable[[], Work[TurnRow | None]]:
        """The claim in a run's end: its lane goes on, unless others wait for a slot."""

        def work() -> Work[TurnRow | None]:
            run.gave_way = bool(self._hungry)
            return None if run.gave_way else (yield from self._claim(run.row.session_key))

        return work

    # -- running ---------------------------------------------------------------------------------

    def launch(self, row: TurnRow) -> None:
        """Run a turn that was claimed in our name."""
        active = self._active.get(row.session_key)
        if active is not None and active.row.fence >= row.fence and active.row.run_id == row.run_id:
            return
        run = self._runner.prepare(row)
        self._active[row.session_key] = run
        self._idle.clear()
        self._announcer.begins(run)
        run.task = self._tasks.start(self._run(run), name=f"turn:{row.run_id}")

    async def _run(self, run: ActiveRun) -> None:
        key = run.row.session_key
        ending: Ending | None = None
        try:
            ending = await self._runner.run(run, self._claim_next(run))
        except Superseded:
            log.warning("turn.superseded", run_id=run.row.run_id, session_key=key)
        except Exception as error:  # the next sweep resolves it
            log.error("turn.end_lost", run_id=run.row.run_id, session_key=key, exc_info=error)
            self.lost.add(run.row.run_id)
        finally:
            run.publisher.stop()
            run.release_runtime()
            if self._active.get(key) is run:
                del self._active[key]
            self._go_on(run, ending)
        if ending is not None:
            self._announcer.ended(ending)
        self._announcer.left(key)

    def _go_on(self, run: ActiveRun, ending: Ending | None) -> None:
        if ending is not None and ending.following is not None:
            self.launch(ending.following)
        elif run.gave_way:
            self._go_hungry(run.row.session_key)
        self._feed_hungry()

    def _feed_hungry(self) -> None:
        while self._hungry and self._free_slots() > 0:
            key = next(iter(self._hungry))
            del self._hungry[key]
            self.wake(key)
        if not self._active and not self._claiming:
            self._idle.set()
