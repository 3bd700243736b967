"""Jobs under any fate: replicas come, crash at any commit, clocks are set, runs fail or take long.

The real scheduler, inbox, lanes and runner on a database in memory. What must hold: a slot makes
one message, only slots of the schedule run, a job never overlaps itself, every run ends once, and
of a job that wants all its slots none is missing.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from portico.automation.cron.assembly import CronSettings
from portico.automation.cron.life import Rules
from portico.automation.cron.model import Job
from portico.automation.cron.schedule import latest_slots
from portico.turns.model import TurnLimits
from tests.support.clock import FakeClock
from tests.support.cron import DAY_MS, HOUR_MS, MINUTE_MS, CronPath, ms
from tests.support.memory import Dead, OwnedStore
from tests.support.mortals import Mortals
from tests.support.waiting import loop_turns

START = ms("2026-10-24T22:00+00:00")  # hours before clocks change
LIMITS = TurnLimits(max_concurrent=4, live_text_ms=0)
SETTINGS = CronSettings(rules=Rules(max_catch_up=1_000, max_errors=0), max_runs=3)
SCHEDULES = [
    {"kind": "every", "everyMs": HOUR_MS},
    {"kind": "cron", "expr": "30 * * * *", "tz": "Europe/Berlin"},
    {"kind": "cron", "expr": "15 2 * * *", "tz": "Europe/Berlin"},
    {"kind": "cron", "expr": "0 */3 * * *", "staggerMs": 600_000},
]


class CronMachine(Mortals[CronPath]):
    @initialize()
    def begin(self) -> None:
        self.latest = START
        self.jobs: list[Job] = []
        self.finished: dict[str, str] = {}
        self.everybody: list[CronPath] = []
        self.found(FakeClock(START))

    def new_owner(self, store: OwnedStore, name: str) -> CronPath:
        owner = CronPath(
            store, owner=name, alone=False, clock=self.clock, settings=SETTINGS, limits=LIMITS
        )
        self.everybody.append(owner)
        return owner

    # -- what may happen -------------------------------------------------------------------------

    @precondition(lambda self: len(self.jobs) < 3)
    @rule(
        owner=st.integers(0, 1),
        schedule=st.sampled_from(SCHEDULES),
        policy=st.sampled_from(["run_once", "skip", "run_all", "run_all"]),
    )
    def add(self, owner: int, schedule: dict[str, Any], policy: str) -> None:
        self.run(self.step(self._add(self.owners[owner], schedule, policy)))

    async def _add(self, owner: CronPath, schedule: dict[str, Any], policy: str) -> None:
        job = await owner.add(schedule, name=f"j{len(self.jobs)}", misfire={"policy": policy})
        self.jobs.append(job)

    @rule(
        owner=st.integers(0, 1),
        minutes=st.sampled_from([0, 10, 30, 59, 120, 60 * 27, -60, -10]),
    )
    def look(self, owner: int, minutes: int) -> None:
        self.clock.set(max(START, self.clock.now_ms() + minutes * MINUTE_MS))
        self.latest = max(self.latest, self.clock.now_ms())
        self.run(self.step(self.owners[owner].look()))

    @rule(minutes=st.sampled_from([0, 60, 60 * 5]))
    def look_at_the_same_time(self, minutes: int) -> None:
        self.clock.set(self.clock.now_ms() + minutes * MINUTE_MS)
        self.latest = max(self.latest, self.clock.now_ms())
        self.run(self.step(self._all_look()))

    async def _all_look(self) -> None:
        await asyncio.gather(*(owner.scheduler.look() for owner in self.owners))

    @rule(owner=st.integers(0, 1), what=st.sampled_from(["finish", "finish", "fail"]))
    def runtime(self, owner: int, what: str) -> None:
        puppet = self.owners[owner].puppet
        for run_id in self.owners[owner].open_runs():
            if what == "finish":
                puppet.finish(run_id, "done")
            else:
                puppet.tell(run_id, RuntimeError("as told"))
        self.run(self.step())

    @precondition(lambda self: self.jobs)
    @rule(owner=st.integers(0, 1), data=st.data(), mode=st.sampled_from(["force", "due"]))
    def run_by_hand(self, owner: int, data: Any, mode: Any) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        self.run(self.step(self.owners[owner].service.run(job.job_id, mode)))

    @rule(owner=st.integers(0, 1), seconds=st.sampled_from([5, 31]))
    def sweep(self, owner: int, seconds: int) -> None:
        self.clock.advance(seconds)
        self.latest = max(self.latest, self.clock.now_ms())
        self.run(self.step(self.owners[owner].path.sweep()))

    @rule(owner=st.integers(0, 1))
    def kill(self, owner: int) -> None:
        self.stores[owner].dead = True
        self.run(self.step())

    @rule(
        owner=st.integers(0, 1),
        commits=st.integers(0, 3),
        cut=st.sampled_from(["before", "after"]),
    )
    def kill_at_a_commit(self, owner: int, commits: int, cut: Any) -> None:
        self.stores[owner].die_in(commits, cut)

    # -- what must hold --------------------------------------------------------------------------

    @invariant()
    def a_job_never_overlaps_itself(self) -> None:
        if hasattr(self, "memory"):
            found = self.memory.select(
                "SELECT sender FROM inbox_messages m JOIN turns t USING (run_id) "
                "WHERE t.state IN ('queued', 'running') GROUP BY sender HAVING count(*) > 1"
            )
            assert found == []

    @invariant()
    def an_end_is_an_end(self) -> None:
        if hasattr(self, "memory"):
            rows = self.memory.select("SELECT * FROM cron_runs WHERE state = 'finished'")
            now = {row["run_id"]: row["status"] for row in rows}
            assert self.finished.items() <= now.items()
            self.finished = now

    @invariant()
    def an_end_is_told_once(self) -> None:
        told = [
            event["runId"]
            for owner in getattr(self, "everybody", [])
            for event in owner.told("finished")
        ]
        assert len(told) == len(set(told))

    @invariant()
    def nothing_failed_unseen(self) -> None:
        for owner in getattr(self, "owners", []):
            failures = owner.path.failures
            assert [one for one in failures if not isinstance(one[1], Dead)] == []

    # -- the end ---------------------------------------------------------------------------------

    async def come_to_rest(self) -> None:
        """Everybody dies; one last owner does all there is left to do, at the latest time seen."""
        await self.kill_all()
        self.clock.set(self.latest + DAY_MS)
        await self.open(1)
        last = self.owners[0]
        for _ in range(2_000):
            self.clock.advance(31)
            await last.path.sweep()
            await last.look()
            for run_id in last.open_runs():
                last.puppet.finish(run_id, "done")
            await loop_turns(30)
            if not last.open_runs() and not await self._is_busy(last):
                return
        raise AssertionError("some jobs do not come to rest")

    async def _is_busy(self, last: CronPath) -> bool:
        due = "SELECT 1 FROM cron_jobs WHERE is_enabled = 1 AND wake_at <= ?"
        open_runs = "SELECT 1 FROM cron_runs WHERE state <> 'finished'"
        waiting = self.memory.select(due, self.clock.now_ms()) or self.memory.select(open_runs)
        return bool(waiting)

    def check_end(self) -> None:
        messages = self.memory.select("SELECT event_key, run_id FROM inbox_messages")
        keys = [row["event_key"] for row in messages]
        assert len(keys) == len(set(keys))
        turns = {row["run_id"] for row in self.memory.select("SELECT run_id FROM turns")}
        runs = self.memory.select("SELECT * FROM cron_runs")
        assert turns == {row["run_id"] for row in runs if row["status"] != "skipped"}
        assert turns == {row["run_id"] for row in messages}
        stored = {row["job_id"] for row in self.memory.select("SELECT job_id FROM cron_jobs")}
        for job in self.jobs:
            assert job.job_id in stored
            ran = {
                row["slot_at"]
                for row in runs
                if row["job_id"] == job.job_id and row["cause"] == "schedule"
            }
            self._check_slots(job, ran)

    def _check_slots(self, job: Job, ran: set[int]) -> None:
        assert job.slot_at is not None
        until = self.clock.now_ms() - (job.wake_at or job.slot_at) + job.slot_at
        slots = latest_slots(job.schedule, job.slot_at, until, count=1_000)
        assert ran <= set(slots)
        if job.definition.misfire.policy == "run_all":
            assert ran == set(slots)


TestCron = CronMachine.TestCase
TestCron.settings = settings(stateful_step_count=30)
