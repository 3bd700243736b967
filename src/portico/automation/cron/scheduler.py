"""The scheduler: one task that sleeps until the next job is due, and those that follow its runs.

Theory of operation: the rows say what is due; the scheduler only looks at the right time. It is
woken when jobs change here, and looks every few seconds for what other replicas, a changed clock or
a crash may have left. A job whose run has not ended is left alone until it has.

Guarantees: with nothing due, a look is one indexed read; at most `max_runs` runs of this process
are open at a time, the other due jobs wait; one job that fails does not hold up the others.

Not here: what is decided about a job (life.py), how a run begins and ends (starting.py, ending.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Protocol

import structlog

from portico.automation.cron import store as cron_store
from portico.automation.cron.asking import Beat
from portico.automation.cron.ending import Ender
from portico.automation.cron.life import RunState
from portico.automation.cron.model import Job, is_heartbeat
from portico.automation.cron.publish import CronEvents
from portico.automation.cron.starting import Begun, Starter
from portico.automation.cron.store import Run
from portico.clock import Clock
from portico.protocol.errors import Overloaded, Unavailable
from portico.store import Store
from portico.tasks import Tasks
from portico.turns.service import Turns

log = structlog.get_logger()

SWEEP_S = 5.0
HEARTBEAT_AGAIN_S = 60.0
MAX_OPEN = 1_000


@dataclass(frozen=True, slots=True)
class NotNow:
    """Why a heartbeat is left out.

    Attributes:
        is_soon: it is tried again before its next turn.
    """

    reason: str
    is_soon: bool = False


class Heart(Protocol):
    """The heartbeats, as far as the scheduler needs them."""

    async def ready(self, job: Job) -> Beat | NotNow:
        """Return what a due heartbeat asks, or why it is left out."""
        ...

    async def ask(self, job: Job) -> Beat | None:
        """Return what a heartbeat asks, whatever the time; `None`: the agent has none."""
        ...

    async def ended(self, run: Run) -> None:
        """A heartbeat's run is over."""
        ...


class Scheduler:
    """Acts on what is due.

    Args:
        alone: no other replica works on this database.
        is_enabled: whether jobs run by themselves; by hand they always do.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        starter: Starter,
        ender: Ender,
        heart: Heart,
        turns: Turns,
        events: CronEvents,
        tasks: Tasks,
        alone: bool,
        is_enabled: bool,
        max_runs: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._starter = starter
        self._ender = ender
        self._heart = heart
        self._turns = turns
        self._events = events
        self._tasks = tasks
        self._alone = alone
        self._max_runs = max_runs
        self._following: set[str] = set()
        self._wakeup = asyncio.Event()
        self._stopping = False
        self.is_enabled = is_enabled

    def configure(self, *, is_enabled: bool, max_runs: int) -> None:
        """Run jobs by other rules from now on; runs that have begun go on."""
        self.is_enabled = is_enabled
        self._max_runs = max_runs
        self.wake()

    @property
    def running(self) -> int:
        """How many runs this process follows."""
        return len(self._following)

    async def start(self) -> None:
        """Follow what was left open, then act on what is due."""
        await self._adopt()
        self._tasks.start(self._keep_looking(), name="cron")

    def wake(self) -> None:
        """Look at the jobs now: something changed."""
        self._wakeup.set()

    def keep_company(self, *, alone: bool) -> None:
        """Another process begins or ceases to act on the same jobs."""
        self._alone = alone
        self._wakeup.set()

    def drain(self) -> None:
        """Begin nothing new."""
        self._stopping = True
        self._wakeup.set()

    async def run_now(self, job: Job, run_id: str) -> Begun | None:
        """Run a job by hand; `None`: it is gone, or running already.

        Raises:
            Overloaded: its conversation is full.
        """
        beat = await self._heart.ask(job) if is_heartbeat(job.job_id) else None
        begun = await self._starter.begin_now(job.job_id, run_id, beat)
        if begun is not None:
            self._launch(begun)
        return begun

    async def run_due(self, job: Job) -> Begun | None:
        """Act on a job now if it is due; `None`: it is not."""
        beat = None
        if is_heartbeat(job.job_id):
            ready = await self._heart.ready(job)
            if isinstance(ready, NotNow) and ready.is_soon:
                await self._postpone(job.job_id, HEARTBEAT_AGAIN_S)
                return None
            beat = ready if isinstance(ready, Beat) else None
        begun = await self._starter.begin_due(job.job_id, beat)
        if begun is not None:
            self._launch(begun)
        return begun

    async def look(self) -> None:
        """Act on everything that is due, as far as there is room."""
        if not self.is_enabled or self._stopping:
            return
        room = self._max_runs - len(self._following)
        if room <= 0:
            return
        for job in await self._store.read(cron_store.due, now=self._clock.now_ms(), count=room):
            try:
                await self.run_due(job)
            except Overloaded:
                log.warning("cron.conversation_full", job_id=job.job_id)
                await self._postpone(job.job_id, SWEEP_S)
            except Exception as error:  # one bad job must not hold up the others
                log.error("cron.begin_failed", job_id=job.job_id, exc_info=error)
                await self._postpone(job.job_id, SWEEP_S)

    async def _postpone(self, job_id: str, by_s: float) -> None:
        again_at = self._clock.now_ms() + int(by_s * 1000)
        await self._store.write(cron_store.postpone, job_id, until_ms=again_at)

    # -- the loop --------------------------------------------------------------------------------

    async def _keep_looking(self) -> None:
        swept_at_s = self._clock.monotonic_s()
        while not self._stopping:
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(await self._idle_s()):
                        await self._wakeup.wait()
                self._wakeup.clear()
                if self._clock.monotonic_s() - swept_at_s >= SWEEP_S:
                    swept_at_s = self._clock.monotonic_s()
                    await self._adopt()
                await self.look()
            except Exception as error:  # the database may be away; the next look tries again
                log.error("cron.look_failed", exc_info=error)
                await asyncio.sleep(SWEEP_S)

    async def _idle_s(self) -> float:
        """Return how long there is nothing to do; never long, since clocks and replicas exist."""
        if not self.is_enabled or len(self._following) >= self._max_runs:
            return SWEEP_S
        wake_at = await self._store.read(cron_store.next_wake)
        if wake_at is None:
            return SWEEP_S
        return min(SWEEP_S, max(0.0, (wake_at - self._clock.now_ms()) / 1000))

    # -- runs ------------------------------------------------------------------------------------

    def _launch(self, begun: Begun) -> None:
        if begun.skipped is not None:
            self._events.finished(begun.skipped, begun.job)
        run = begun.run
        if run is None:
            self._events.changed(begun.job)
        elif run.state is RunState.FINISHED:
            self._events.finished(run, begun.job)
        else:
            self._starter.hand_over(begun)
            self._events.started(run, begun.job)
            self._follow(run)

    def _follow(self, run: Run) -> None:
        self._following.add(run.run_id)
        self._tasks.start(self._see_to_its_end(run), name=f"cron:{run.run_id}")

    async def _see_to_its_end(self, run: Run) -> None:
        try:
            ended = await self._ender.end(run)
            if ended is not None:
                self._events.finished(ended.run, ended.job)
                if is_heartbeat(run.job_id):
                    await self._heart.ended(ended.run)
        except Unavailable:  # the gateway stops; whoever comes next looks at the row
            log.info("cron.left_running", run_id=run.run_id)
        except Exception as error:  # the next sweep picks it up from its row
            log.error("cron.end_failed", run_id=run.run_id, exc_info=error)
        finally:
            self._following.discard(run.run_id)
            self._wakeup.set()

    async def _adopt(self) -> None:
        """Follow open runs nobody follows here: all of them when alone, else those left behind."""
        for run in await self._store.read(cron_store.open_runs, count=MAX_OPEN):
            if run.run_id in self._following:
                continue
            if self._alone or await self._has_ended(run):
                self._follow(run)
        await self._ender.learn()

    async def _has_ended(self, run: Run) -> bool:
        turn = await self._turns.find(run.run_id)
        return turn is None or not turn.is_open
