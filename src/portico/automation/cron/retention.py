"""Forgetting: the sessions of isolated runs, and runs beyond what is kept per job.

Guarantees: a session somebody went on talking in is kept; a run that has not ended is.
"""

from __future__ import annotations

import contextlib

from portico.automation.cron import history
from portico.automation.cron import store as cron_store
from portico.automation.cron.store import Run
from portico.clock import Clock
from portico.sessions.mutations import NOTHING_EXPECTED, Busy
from portico.sessions.service import Sessions
from portico.store import Store

AT_ONCE = 500


class Retention:
    """The chores of scheduled jobs.

    Args:
        keep_sessions_ms: `None`: for ever.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        sessions: Sessions,
        keep_runs: int,
        keep_sessions_ms: int | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._sessions = sessions
        self._keep_runs = keep_runs
        self._keep_sessions_ms = keep_sessions_ms

    def configure(self, *, keep_runs: int, keep_sessions_ms: int | None) -> None:
        """Keep this much from now on."""
        self._keep_runs = keep_runs
        self._keep_sessions_ms = keep_sessions_ms

    async def forget_runs(self, *, before_ms: int) -> int:
        """Delete runs begun before a time, and those beyond what is kept per job."""
        total = 0
        while count := await self._store.write(
            history.forget_before, before_ms=before_ms, count=AT_ONCE
        ):
            total += count
        for job in await self._store.scan(cron_store.all_jobs):
            total += await self._store.write(
                history.forget_beyond, job.job_id, keep=self._keep_runs
            )
        return total

    async def forget_sessions(self) -> int:
        """Delete sessions of isolated runs that ended long enough ago; return how many."""
        if self._keep_sessions_ms is None:
            return 0
        total, before_ms = 0, self._clock.now_ms() - self._keep_sessions_ms
        while old := await self._store.scan(
            history.old_sessions, before_ms=before_ms, count=AT_ONCE
        ):
            for run in old:
                total += await self._forget_session(run)
                await self._store.write(history.let_go_of_session, run.run_id)
        return total

    async def _forget_session(self, run: Run) -> bool:
        if run.session_key is None:
            return False
        session = await self._sessions.find(run.session_key)
        if session is None or session.last_run_id != run.run_id:  # somebody went on there
            return False
        with contextlib.suppress(Busy):
            return await self._sessions.delete(run.session_key, NOTHING_EXPECTED)
        return False
