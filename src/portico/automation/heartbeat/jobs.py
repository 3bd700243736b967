"""The jobs that make hearts beat: one per agent, as the configuration says.

Guarantees: whatever the configuration was before, afterwards there is exactly one job for each
agent whose heart beats; one that is as it should be keeps its rhythm.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from portico.automation.cron import store as cron_store
from portico.automation.cron.life import Rules, first_plan
from portico.automation.cron.model import (
    HEARTBEAT_PREFIX,
    Definition,
    Delivery,
    Every,
    HeartbeatTick,
    Job,
    JobState,
    Misfire,
    is_heartbeat,
)
from portico.automation.heartbeat.model import HeartbeatSettings
from portico.ids import new_id
from portico.store import Work


def reconcile(settings: Mapping[str, HeartbeatSettings], *, rules: Rules, now: int) -> Work[None]:
    """Make the jobs what the settings say."""
    wanted = {f"{HEARTBEAT_PREFIX}{agent_id}": agent_id for agent_id in settings}
    for job in (yield from cron_store.all_jobs()):
        if is_heartbeat(job.job_id) and job.job_id not in wanted:
            yield from cron_store.delete_job(job.job_id)
    for job_id, agent_id in wanted.items():
        yield from _one(job_id, agent_id, settings[agent_id], rules=rules, now=now)


def _one(
    job_id: str, agent_id: str, settings: HeartbeatSettings, *, rules: Rules, now: int
) -> Work[None]:
    found = yield from cron_store.lock_job(job_id)
    definition = _definition(settings, _anchor(found, settings, now))
    if found is not None and found.is_enabled and found.definition == definition:
        return
    job = Job(
        job_id=job_id,
        name=f"Heartbeat of {agent_id}",
        declaration_key=None,
        agent_id=agent_id,
        is_enabled=True,
        definition=definition,
        state=JobState() if found is None else _fresh(found.state),
        slot_at=None,
        wake_at=None,
        revision=new_id("rev"),
        created_at=now if found is None else found.created_at,
        updated_at=now,
    )
    first = first_plan(job, after_ms=now, rules=rules)
    job = msgspec.structs.replace(job, slot_at=first.slot_at, wake_at=first.wake_at)
    if found is None:
        yield from cron_store.insert_job(job)
    else:
        yield from cron_store.update_job(job)


def _anchor(found: Job | None, settings: HeartbeatSettings, now: int) -> int:
    """Return what the rhythm is counted from: what it was, unless it is another rhythm."""
    schedule = None if found is None else found.schedule
    if isinstance(schedule, Every) and schedule.every_ms == settings.every_ms:
        return schedule.anchor_ms or 0
    return now


def _fresh(state: JobState) -> JobState:
    return msgspec.structs.replace(
        state, consecutive_errors=0, consecutive_skipped=0, auto_disabled=None
    )


def _definition(settings: HeartbeatSettings, anchor_ms: int) -> Definition:
    return Definition(
        schedule=Every(settings.every_ms, anchor_ms),
        payload=HeartbeatTick(),
        session_target="main",
        session_key=settings.session_key,
        delivery=_delivery(settings),
        misfire=Misfire(policy="run_once"),  # also what had to wait for a busy session
        description="A look around, as agents.*.heartbeat says.",
    )


def _delivery(settings: HeartbeatSettings) -> Delivery | None:
    if settings.target in {"last", "owner"}:
        return None
    if settings.target == "none":
        return Delivery(mode="none")
    return Delivery(
        mode="announce",
        channel=settings.target,
        to=settings.to,
        account_id=settings.account_id,
    )
