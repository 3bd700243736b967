"""The beginning of a run: its slot, its session, and the message that makes its turn.

Theory of operation: one transaction takes the slot, moves the job to its next one and accepts the
message. So a crash leaves all of it or nothing, and from there the message path carries the run.

Guarantees: a slot makes one message, whatever crashes and however many replicas try.

Not here: when to begin and who waits (scheduler.py), what becomes of it (ending.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from portico.agents.service import Agents
from portico.automation.cron import routing
from portico.automation.cron import store as cron_store
from portico.automation.cron.asking import (
    Beat,
    Event,
    asked_by_heart,
    asked_by_job,
    message_of,
    text_of,
)
from portico.automation.cron.ending import finish
from portico.automation.cron.life import Rules, RunState, after_skip, plan, switched_off
from portico.automation.cron.model import Job, is_heartbeat
from portico.automation.cron.schedule import BadSchedule
from portico.automation.cron.store import Run, new_run
from portico.channels.model import InboundMessage
from portico.channels.registry import ChannelRegistry
from portico.clock import Clock
from portico.inbox.model import Accepted, Routing
from portico.inbox.service import Inbox
from portico.outbox.service import Outbox
from portico.store import Store, Work

MISSED = "missed: the gateway was not running, or busy, when it was due"


@dataclass(frozen=True, slots=True)
class Begun:
    """What acting on a job came to, committed.

    Attributes:
        job: the job as it is now.
        run: the run that began, or was refused and has failed; `None`: there is none.
        accepted: its message, for `hand_over`.
        skipped: the run that says that slots were passed over.
    """

    job: Job
    run: Run | None
    message: InboundMessage | None = None
    accepted: Accepted | None = None
    skipped: Run | None = None


class Beats(Protocol):
    """The heartbeats, as far as jobs need them."""

    def is_on(self, agent_id: str, session_key: str) -> bool:
        """Whether an agent's heart beats in a session."""
        ...

    def keep_event(self, session_key: str, event: Event, *, now: int) -> Work[bool]:
        """Let an event wait for the session's next heartbeat; `False`: it does already."""
        ...

    def take_events(self, session_key: str) -> Work[list[Event]]:
        """Return what waits for a session; it waits no more."""
        ...


class Starter:
    """Begins runs.

    Args:
        keeps_sessions: sessions of isolated runs are never forgotten.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        inbox: Inbox,
        outbox: Outbox,
        agents: Agents,
        senders: ChannelRegistry,
        beats: Beats,
        main_key: str,
        rules: Rules,
        keeps_sessions: bool,
    ) -> None:
        self._beats = beats
        self._store = store
        self._clock = clock
        self._inbox = inbox
        self._outbox = outbox
        self._agents = agents
        self._senders = senders
        self._main_key = main_key
        self._rules = rules
        self._keeps_sessions = keeps_sessions

    def configure(self, rules: Rules, *, keeps_sessions: bool) -> None:
        """Begin runs by other rules from now on."""
        self._rules = rules
        self._keeps_sessions = keeps_sessions

    async def begin_due(self, job_id: str, beat: Beat | None = None) -> Begun | None:
        """Act on a due job; `None`: somebody else did, or it is not due any more.

        Args:
            beat: what a heartbeat asks; without it, its slot passes.

        Raises:
            Overloaded: its conversation is full; nothing was changed.
        """
        return await self._store.write(self._begin_due, job_id, beat, self._clock.now_ms())

    async def begin_now(self, job_id: str, run_id: str, beat: Beat | None = None) -> Begun | None:
        """Run a job by hand, beside its schedule; `None`: it is gone, or running already.

        Raises:
            Overloaded: its conversation is full; nothing was changed.
        """
        now = self._clock.now_ms()
        return await self._store.write(self._begin_now, job_id, run_id, beat, now)

    def hand_over(self, begun: Begun) -> None:
        """Let a committed run's turn begin."""
        if begun.message is not None and begun.accepted is not None:
            self._inbox.begin(begun.message, begun.accepted)

    def agent_of(self, job: Job) -> str | None:
        """Return whose job it is; `None` when that agent is not configured (any more)."""
        agent_id = job.agent_id or self._agents.default_id
        return agent_id if self._agents.find(agent_id) is not None else None

    def _begin_due(self, job_id: str, beat: Beat | None, now: int) -> Work[Begun | None]:
        job = yield from cron_store.lock_job(job_id)
        if job is None or not job.is_enabled or job.wake_at is None or job.wake_at > now:
            return None
        if (yield from cron_store.open_run_of(job_id)) is not None:
            return None
        try:
            decided = plan(job, now=now, rules=self._rules)
        except BadSchedule as error:
            job = switched_off(job, now=now, error=str(error))
            yield from cron_store.update_job(job)
            return Begun(job, None)
        job = msgspec.structs.replace(job, slot_at=decided.slot_at, wake_at=decided.wake_at)
        skipped = None
        if decided.skipped is not None:
            job = after_skip(job, now=now, reason=MISSED)
            skipped = yield from self._record_skipped(job, decided.skipped, now)
        yield from cron_store.update_job(job)
        if decided.run is None or (is_heartbeat(job_id) and beat is None):
            return Begun(job, None, skipped=skipped)
        run = self._new_run(job, decided.run, now=now)
        begun = yield from self._begin(job, run, beat)
        return (
            Begun(job, None, skipped=skipped) if begun is None else replace(begun, skipped=skipped)
        )

    def _begin_now(
        self, job_id: str, run_id: str, beat: Beat | None, now: int
    ) -> Work[Begun | None]:
        job = yield from cron_store.lock_job(job_id)
        if job is None or (is_heartbeat(job_id) and beat is None):
            return None
        run = self._new_run(job, now, now=now)
        slot = "-".join(run_id.split(":")[-2:])
        run = msgspec.structs.replace(run, slot=f"manual-{slot}", run_id=run_id, cause="manual")
        return (yield from self._begin(job, run, beat))

    def _begin(self, job: Job, run: Run, beat: Beat | None) -> Work[Begun | None]:
        """Take a slot and accept its message; `None`: the slot, or the job, was taken before."""
        if self.agent_of(job) is None:
            return (yield from self._refuse(job, run))
        key = routing.session_key_of(job, run.agent_id, run.slot, main_key=self._main_key)
        route = yield from routing.route_of(
            job, run.agent_id, key, senders=self._senders, main_key=self._main_key
        )
        run = msgspec.structs.replace(run, session_key=key, route=route)
        if job.definition.wake_mode == "next-heartbeat" and self._beats.is_on(run.agent_id, key):
            return (yield from self._leave_to_heartbeat(job, run))
        if not (yield from cron_store.insert_run(run)):
            return None
        if beat is None:
            asked = asked_by_job(job, run)
        else:
            asked = asked_by_heart(run, beat, (yield from self._beats.take_events(key)))
        message = message_of(job, run, asked)
        going = Routing(
            session_key=key,
            agent_id=run.agent_id,
            run_id=run.run_id,
            queue_mode="followup",
            drop="new",
            created_via="cron",
            keeps_route=True,
        )
        accepted = yield from self._inbox.admit(message, asked.request, going)
        return Begun(job, run, message, accepted)

    def _new_run(self, job: Job, slot_at: int, *, now: int) -> Run:
        delivery = job.definition.delivery
        return new_run(
            job,
            slot_at,
            agent_id=job.agent_id or self._agents.default_id,
            owns_session=routing.is_isolated(job) and not self._keeps_sessions,
            best_effort=bool(delivery and delivery.best_effort),
            now=now,
        )

    def _record_skipped(self, job: Job, slot_at: int, now: int) -> Work[Run]:
        run = msgspec.structs.replace(
            self._new_run(job, slot_at, now=now),
            state=RunState.FINISHED,
            owns_session=False,
            status="skipped",
            error=MISSED,
            delivery_status="not-requested",
            ended_at=now,
            next_run_at=job.wake_at if job.is_enabled else None,
        )
        yield from cron_store.insert_run(run)
        return run

    def _leave_to_heartbeat(self, job: Job, run: Run) -> Work[Begun | None]:
        """Let the agent be told at its next heartbeat; that ends the run."""
        done = msgspec.structs.replace(run, status="ok", summary=text_of(job))
        if run.session_key is not None:
            event = Event(text_of(job))
            yield from self._beats.keep_event(run.session_key, event, now=run.started_at)
        return (yield from self._end_at_once(job, done))

    def _refuse(self, job: Job, run: Run) -> Work[Begun | None]:
        """Put on record that a run cannot be: its agent is not configured (any more)."""
        failed = msgspec.structs.replace(
            run,
            status="error",
            error=f"agent {run.agent_id} is not configured",
            error_reason="unclassified",
        )
        return (yield from self._end_at_once(job, failed))

    def _end_at_once(self, job: Job, run: Run) -> Work[Begun | None]:
        run = msgspec.structs.replace(
            run,
            owns_session=False,
            route=None,
            delivery_status="not-requested",
            ended_at=run.started_at,
        )
        if not (yield from cron_store.insert_run(run)):
            return None
        ended = yield from finish(
            run,
            run,
            counts=run.cause == "schedule",
            rules=self._rules,
            outbox=self._outbox,
            main_key=self._main_key,
        )
        if ended is None:
            return None
        return Begun(ended.job or job, ended.run)
