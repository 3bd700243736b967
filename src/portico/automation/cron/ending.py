"""The end of a run: its outcome, its delivery, and what it means for its job.

Theory of operation: when the turn has ended, the answer is put into the outbox in the transaction
that records the outcome (`delivering`); when it has been sent, or need not be, the run is
`finished` and its job counts it. A crash in between is picked up from the row by whoever looks
next. A delivery that takes its time does not hold the job up for ever: the run is finished without
knowing, and learns it later.

Guarantees: a run is counted once, its answer is delivered once, to the route that was frozen when
it began. An answer that text from outside went into is marked so where it arrives.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from portico.automation.cron import routing
from portico.automation.cron import store as cron_store
from portico.automation.cron.life import Rules, RunState, after_run
from portico.automation.cron.model import Job
from portico.automation.cron.outcome import Outcome, end_of, outcome_of, with_delivery
from portico.automation.cron.store import Run
from portico.channels.model import ReplyRoute
from portico.channels.webchat import CHANNEL as CHAT
from portico.channels.webchat import UNTRUSTED
from portico.clock import Clock
from portico.outbox.life import DeliveryState
from portico.outbox.service import SEND_TIMEOUT_S, Outbox
from portico.outbox.store import Delivery
from portico.sessions import transcript
from portico.store import Store, Work
from portico.turns.model import TurnRow
from portico.turns.service import Turns

ATTEMPT_S = SEND_TIMEOUT_S + 1
DELIVERY_PATIENCE_MS = 60_000
LATE_NEWS_MS = 7_200_000
MAX_LATE = 100
_ON_ITS_WAY = frozenset({DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.RETRY})


@dataclass(frozen=True, slots=True)
class Ended:
    """A finished run, and what became of its job (`None`: it is deleted).

    Attributes:
        tells: a person is told something, so the outbox has work.
    """

    run: Run
    job: Job | None
    tells: bool = False


class Ender:
    """Takes runs whose turn has ended to their end."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        turns: Turns,
        outbox: Outbox,
        rules: Rules,
        main_key: str,
    ) -> None:
        self._store = store
        self._clock = clock
        self._turns = turns
        self._outbox = outbox
        self._rules = rules
        self._main_key = main_key

    def configure(self, rules: Rules) -> None:
        """End runs by other rules from now on."""
        self._rules = rules

    async def end(self, run: Run) -> Ended | None:
        """Wait for a run's turn, deliver its answer and finish it.

        Returns `None` when somebody else has, or the answer is still on its way: then it is tried
        again later.
        """
        if run.state is RunState.RUNNING:
            turn = await self._turns.wait(run.run_id, None)
            settled = await self._store.write(self._settle, run, turn, self._clock.now_ms())
            if settled is None or isinstance(settled, Ended):
                return self._told(settled)
            run = settled
            self._outbox.wake()
        delivery = await self._outbox.wait_settled(run.delivery_id or "", ATTEMPT_S)
        waited_ms = self._clock.now_ms() - (run.ended_at or run.started_at)
        if _is_on_its_way(delivery) and waited_ms < DELIVERY_PATIENCE_MS:
            return None
        done = with_delivery(run, delivery)
        return self._told(await self._store.write(self._finish, run, done, counts=True))

    async def learn(self) -> None:
        """Put on record what became of deliveries that finished runs did not wait for."""
        since_ms = self._clock.now_ms() - LATE_NEWS_MS
        for run in await self._store.read(
            cron_store.undelivered, since_ms=since_ms, count=MAX_LATE
        ):
            delivery = await self._outbox.find(run.delivery_id or "")
            if not _is_on_its_way(delivery):
                await self._store.write(self._learn, run, with_delivery(run, delivery))

    def _learn(self, run: Run, told: Run) -> Work[None]:
        if told.delivery_status == run.delivery_status:
            return
        job = yield from cron_store.lock_job(run.job_id)
        if not (yield from cron_store.move_run(run, told)):
            return
        if job is not None and job.state.last_run_at_ms == run.started_at:
            state = msgspec.structs.replace(
                job.state,
                last_delivery_status=told.delivery_status,
                last_delivery_error=told.delivery_error,
            )
            yield from cron_store.update_job(msgspec.structs.replace(job, state=state))

    def _told(self, ended: Ended | None) -> Ended | None:
        if ended is not None and ended.tells:
            self._outbox.wake()
        return ended

    def _settle(self, run: Run, turn: TurnRow | None, now: int) -> Work[Run | Ended | None]:
        outcome = outcome_of(run, turn, now=now)
        if outcome.text is None or run.route is None:
            done = with_delivery(outcome.run, None)
            return (yield from self._finish(run, done, counts=outcome.counts))
        entry_id = None if turn is None or turn.result is None else turn.result.entry_id
        route = yield from _marked(run.route, entry_id)
        return (yield from self._deliver(run, outcome, route, outcome.text, now))

    def _deliver(
        self, run: Run, outcome: Outcome, route: ReplyRoute, text: str, now: int
    ) -> Work[Run | None]:
        yield from cron_store.lock_job(run.job_id)
        delivering = msgspec.structs.replace(
            outcome.run,
            state=RunState.DELIVERING,
            delivery_id=f"dlv_{run.run_id}",
            delivery_status="unknown",
        )
        if not (yield from cron_store.move_run(run, delivering)):
            return None
        yield from self._outbox.insert(
            route,
            text,
            session_key=run.session_key,
            now=now,
            run_id=run.run_id,
            delivery_id=delivering.delivery_id,
        )
        return delivering

    def _finish(self, run: Run, done: Run, *, counts: bool) -> Work[Ended | None]:
        return (
            yield from finish(
                run,
                done,
                counts=counts,
                rules=self._rules,
                outbox=self._outbox,
                main_key=self._main_key,
            )
        )


def _marked(route: ReplyRoute, entry_id: str | None) -> Work[ReplyRoute]:
    """Return the route; where text from outside went into the answer, it says so."""
    if route.channel != CHAT:
        return route
    entry = None if entry_id is None else (yield from transcript.find_entry(entry_id))
    if entry is not None and not entry.meta.get("untrusted"):
        return route
    return msgspec.structs.replace(route, context={**route.context, UNTRUSTED: True})


def _is_on_its_way(delivery: Delivery | None) -> bool:
    return delivery is not None and delivery.state in _ON_ITS_WAY


def finish(
    run: Run, done: Run, *, counts: bool, rules: Rules, outbox: Outbox, main_key: str
) -> Work[Ended | None]:
    """Finish a run and count it for its job; `None`: somebody else did.

    Args:
        done: the run with its outcome.
        counts: a failure counts against the job.
    """
    job = yield from cron_store.lock_job(run.job_id)
    after = None if job is None else after_run(job, end_of(done, counts=counts), rules=rules)
    finished = msgspec.structs.replace(
        done,
        state=RunState.FINISHED,
        next_run_at=after.wake_at if after is not None and after.is_enabled else None,
    )
    if not (yield from cron_store.move_run(run, finished)):
        return None
    if job is None:  # it was removed while it ran
        return Ended(finished, None)
    if after is None:
        yield from cron_store.delete_job(job.job_id)
        return Ended(finished, None)
    yield from cron_store.update_job(after)
    tells = job.state.auto_disabled is None and after.state.auto_disabled is not None
    if tells:
        yield from outbox.insert(
            routing.notice_route(after, finished.agent_id, main_key=main_key),
            _notice(after),
            session_key=None,
            now=after.updated_at,
            delivery_id=f"dlv_{finished.run_id}_off",
        )
    return Ended(finished, after, tells)


def _notice(job: Job) -> str:
    return (
        f"I have switched off the scheduled job “{job.name}” ({job.job_id}): it failed "
        f"{job.state.consecutive_errors} times in a row. The last error: {job.state.last_error}"
    )
