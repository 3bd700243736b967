"""The beginning of a run: its slot, its session, and the message that makes its turn.

Theory of operation: one transaction takes the slot, moves the job to its next one and accepts the
message. So a crash leaves all of it or nothing, and from there the message path carries the run.

Guarantees: a slot makes one message, whatever crashes and however many replicas try.

Not here: when to begin and who waits (scheduler.py), what becomes of it (ending.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec

from portico.agents.runtime import TurnRequest
from portico.agents.service import Agents
from portico.automation.cron import routing
from portico.automation.cron import store as cron_store
from portico.automation.cron.ending import finish
from portico.automation.cron.life import Rules, RunState, after_skip, plan, switched_off
from portico.automation.cron.model import AgentTurn, Job
from portico.automation.cron.schedule import BadSchedule
from portico.automation.cron.store import Run, new_run
from portico.channels.model import InboundMessage, Peer
from portico.channels.registry import DEFAULT_ACCOUNT, ChannelRegistry
from portico.clock import Clock
from portico.inbox.service import Accepted, Inbox, Routing
from portico.outbox.service import Outbox
from portico.store import Store, Work

CHANNEL = "cron"
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
        main_key: str,
        rules: Rules,
        keeps_sessions: bool,
    ) -> None:
        self._store = store
        self._clock = clock
        self._inbox = inbox
        self._outbox = outbox
        self._agents = agents
        self._senders = senders
        self._main_key = main_key
        self._rules = rules
        self._keeps_sessions = keeps_sessions

    async def begin_due(self, job_id: str) -> Begun | None:
        """Act on a due job; `None`: somebody else did, or it is not due any more.

        Raises:
            Overloaded: its conversation is full; nothing was changed.
        """
        return await self._store.write(self._begin_due, job_id, self._clock.now_ms())

    async def begin_now(self, job_id: str, run_id: str) -> Begun | None:
        """Run a job by hand, beside its schedule; `None`: it is gone, or running already.

        Raises:
            Overloaded: its conversation is full; nothing was changed.
        """
        return await self._store.write(self._begin_now, job_id, run_id, self._clock.now_ms())

    def hand_over(self, begun: Begun) -> None:
        """Let a committed run's turn begin."""
        if begun.message is not None and begun.accepted is not None:
            self._inbox.begin(begun.message, begun.accepted)

    def agent_of(self, job: Job) -> str | None:
        """Return whose job it is; `None` when that agent is not configured (any more)."""
        agent_id = job.agent_id or self._agents.default_id
        return agent_id if self._agents.find(agent_id) is not None else None

    def _begin_due(self, job_id: str, now: int) -> Work[Begun | None]:
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
        if decided.run is None:
            return Begun(job, None, skipped=skipped)
        run = self._new_run(job, decided.run, now=now)
        begun = yield from self._begin(job, run)
        return (
            Begun(job, None, skipped=skipped) if begun is None else replace(begun, skipped=skipped)
        )

    def _begin_now(self, job_id: str, run_id: str, now: int) -> Work[Begun | None]:
        job = yield from cron_store.lock_job(job_id)
        if job is None:
            return None
        run = self._new_run(job, now, now=now)
        slot = "-".join(run_id.split(":")[-2:])
        run = msgspec.structs.replace(run, slot=f"manual-{slot}", run_id=run_id, cause="manual")
        return (yield from self._begin(job, run))

    def _begin(self, job: Job, run: Run) -> Work[Begun | None]:
        """Take a slot and accept its message; `None`: the slot, or the job, was taken before."""
        if self.agent_of(job) is None:
            return (yield from self._refuse(job, run))
        key = routing.session_key_of(job, run.agent_id, run.slot, main_key=self._main_key)
        route = yield from routing.route_of(
            job, run.agent_id, key, senders=self._senders, main_key=self._main_key
        )
        run = msgspec.structs.replace(run, session_key=key, route=route)
        if not (yield from cron_store.insert_run(run)):
            return None
        message = _message(job, run, key)
        going = Routing(
            session_key=key,
            agent_id=run.agent_id,
            run_id=run.run_id,
            queue_mode="followup",
            drop="new",
            created_via="cron",
            keeps_route=True,
        )
        accepted = yield from self._inbox.admit(message, _request(job, run), going)
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

    def _refuse(self, job: Job, run: Run) -> Work[Begun | None]:
        """Put on record that a run cannot be: its agent is not configured (any more)."""
        run = msgspec.structs.replace(run, owns_session=False)
        if not (yield from cron_store.insert_run(run)):
            return None
        failed = msgspec.structs.replace(
            run,
            status="error",
            error=f"agent {run.agent_id} is not configured",
            error_reason="unclassified",
            delivery_status="not-requested",
            ended_at=run.started_at,
        )
        ended = yield from finish(
            run,
            failed,
            counts=run.cause == "schedule",
            rules=self._rules,
            outbox=self._outbox,
            main_key=self._main_key,
        )
        if ended is None:
            return None
        return Begun(ended.job or job, ended.run)


def _message(job: Job, run: Run, key: str) -> InboundMessage:
    payload = job.definition.payload
    text = payload.message if isinstance(payload, AgentTurn) else payload.text
    if not routing.is_isolated(job):  # people talk there too
        text = f"[cron:{job.job_id} {job.name}] {text}"
    return InboundMessage(
        channel=CHANNEL,
        account=DEFAULT_ACCOUNT,
        event_key=f"{job.job_id}:{run.slot}",
        peer=Peer("direct", job.job_id),
        sender=f"cron:{job.job_id}",
        sender_name=job.name,
        text=text,
        session_key=key,
        agent_id=run.agent_id,
    )


def _request(job: Job, run: Run) -> TurnRequest:
    payload = job.definition.payload
    turn = payload if isinstance(payload, AgentTurn) else None
    return TurnRequest(
        text="",
        system_prompt=_instructions(job, run),
        model=turn.model if turn else None,
        thinking=turn.thinking if turn else None,
        timeout_s=(turn.timeout_seconds or None) if turn else None,
        extensions={"cron": {"jobId": job.job_id, "runId": run.run_id, "slotMs": run.slot_at}},
    )


def _instructions(job: Job, run: Run) -> str:
    due = datetime.fromtimestamp(run.slot_at / 1000, UTC).isoformat(timespec="seconds")
    if run.route is not None:
        fate = "Your answer is sent to the person; answer NO_REPLY when there is nothing to say."
    elif routing.is_isolated(job):
        fate = "Your answer is kept with the job and sent to nobody."
    else:
        fate = "Your answer is shown in this conversation."
    return (
        f"This was sent by the scheduled job {job.name!r} ({job.job_id}), due {due}, "
        f"not by a person. {fate}"
    )
