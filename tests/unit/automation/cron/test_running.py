"""Jobs run: on time, late, again after a crash, once per slot whatever the clock does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from portico.agents.service import Agent, Roster
from portico.automation.cron.assembly import CronSettings
from portico.automation.cron.life import Rules
from portico.automation.cron.service import JobNotFound
from portico.automation.cron.starting import MISSED
from portico.channels.contract import Rejected, Transient
from portico.store import Store
from tests.support.cron import DAY_MS, HOUR_MS, MINUTE_MS, CronPath, ms
from tests.support.path import FakeChannel, rows
from tests.support.waiting import eventually, loop_turns

NOON = ms("2026-07-01T12:00+00:00")
HOURLY = {"kind": "cron", "expr": "0 * * * *"}
DAILY = {"kind": "cron", "expr": "30 2 * * *", "tz": "Europe/Berlin"}


Open = Callable[..., Awaitable[CronPath]]


@pytest.fixture
async def at_noon() -> AsyncIterator[Open]:
    """Opens owners at noon, or at the time of a clock they share; all have died at the end."""
    opened: list[CronPath] = []

    async def open_one(store: Store, **how: Any) -> CronPath:
        cron = CronPath(store, **how)
        if "clock" not in how:
            cron.clock.set(NOON)
        opened.append(cron)
        return await cron.start()

    yield open_one
    for cron in opened:
        await cron.crash()


async def test_a_job_runs_at_its_time_and_not_before(at_noon: Open, store: Store) -> None:
    cron = await at_noon(store)
    job = await cron.add(HOURLY, payload={"kind": "agentTurn", "message": "look around"})
    assert job.wake_at == NOON + HOUR_MS
    await cron.at(NOON + HOUR_MS - 1)
    assert cron.slots() == []
    await cron.at(NOON + HOUR_MS)
    await cron.look()
    assert cron.slots() == [NOON + HOUR_MS]
    turn = cron.puppet.turns[0]
    assert turn.request.text == "look around"
    assert turn.session_key == f"agent:main:cron:{job.job_id}:run:{NOON + HOUR_MS}"
    assert "not by a person" in (turn.request.system_prompt or "")
    await cron.finish("all is well")
    (run,) = await cron.history()
    assert (run.status, run.summary, run.completion) == ("ok", "all is well", "succeeded")
    assert (run.slot_at, run.next_run_at) == (NOON + HOUR_MS, NOON + 2 * HOUR_MS)
    job = await cron.job(job.job_id)
    assert (job.state.last_run_status, job.wake_at) == ("ok", NOON + 2 * HOUR_MS)
    assert [event["status"] for event in cron.told("finished")] == ["ok"]
    assert [event["runId"] for event in cron.told("started")] == [turn.run_id]


async def test_a_job_never_overlaps_itself(at_noon: Open, store: Store) -> None:
    cron = await at_noon(store)
    job = await cron.add(HOURLY)
    await cron.at(NOON + HOUR_MS)
    await cron.at(NOON + 3 * HOUR_MS)
    assert cron.slots() == [NOON + HOUR_MS]
    await cron.finish()
    await cron.look()
    assert cron.slots() == [NOON + HOUR_MS, NOON + 3 * HOUR_MS]
    ran = await cron.service.run(job.job_id, "force")
    assert ran.reason == "already-running"


async def test_no_more_runs_at_a_time_than_allowed(at_noon: Open, sqlite_store: Store) -> None:
    cron = await at_noon(sqlite_store, settings=CronSettings(max_runs=2))
    for number in range(3):
        await cron.add(HOURLY, name=f"job {number}")
    await cron.at(NOON + HOUR_MS)
    assert len(cron.puppet.turns) == 2
    await cron.finish()
    await cron.look()
    assert len(cron.puppet.turns) == 3


async def test_a_day_away_is_one_run_by_default(at_noon: Open, store: Store) -> None:
    cron = await at_noon(store)
    await cron.add(HOURLY)
    await cron.at(NOON + DAY_MS + MINUTE_MS)
    assert cron.slots() == [NOON + DAY_MS]
    await cron.finish()
    await cron.look()
    assert cron.slots() == [NOON + DAY_MS]


async def test_a_day_away_is_every_run_for_a_job_that_wants_it(
    at_noon: Open, sqlite_store: Store
) -> None:
    cron = await at_noon(sqlite_store)
    await cron.add(HOURLY, misfire={"policy": "run_all"})
    await cron.at(NOON + DAY_MS + MINUTE_MS)
    for _ in range(30):
        await cron.finish()
        await cron.look()
    assert cron.slots() == [NOON + hours * HOUR_MS for hours in range(1, 25)]


async def test_a_day_away_is_no_run_for_a_job_that_skips(at_noon: Open, store: Store) -> None:
    cron = await at_noon(store)
    job = await cron.add(HOURLY, misfire={"policy": "skip"})
    await cron.at(NOON + DAY_MS + 2 * MINUTE_MS)
    assert cron.slots() == []
    (run,) = await cron.history()
    assert (run.status, run.error, run.slot_at) == ("skipped", MISSED, NOON + DAY_MS)
    job = await cron.job(job.job_id)
    assert (job.state.last_run_status, job.state.consecutive_skipped) == ("skipped", 1)
    assert [event["status"] for event in cron.told("finished")] == ["skipped"]
    await cron.at(NOON + DAY_MS + HOUR_MS)
    assert cron.slots() == [NOON + DAY_MS + HOUR_MS]


async def test_an_hour_back_runs_nothing_twice(at_noon: Open, store: Store) -> None:
    cron = await at_noon(store)
    await cron.add({"kind": "cron", "expr": "*/30 * * * *"})
    for now in (NOON + 30 * MINUTE_MS, NOON + HOUR_MS):
        await cron.at(now)
        await cron.finish()
    for minutes in range(1, 120):  # the clock is set an hour back, and goes on
        await cron.at(NOON + minutes * MINUTE_MS)
        await cron.finish()
    assert cron.slots() == [NOON + half * 30 * MINUTE_MS for half in (1, 2, 3)]


async def test_daily_runs_once_on_the_days_clocks_change(
    at_noon: Open, sqlite_store: Store
) -> None:
    for day in ("2026-03-29", "2026-10-25"):
        cron = await at_noon(sqlite_store)
        start = ms(f"{day}T00:00+00:00") - DAY_MS
        cron.clock.set(start)
        job = await cron.add(DAILY)
        for quarter in range(3 * 24 * 4):
            await cron.at(start + quarter * 15 * MINUTE_MS)
            await cron.finish()
        assert len(cron.slots()) == 3, day
        await cron.service.remove(job.job_id)


async def test_a_restart_between_every_two_steps(at_noon: Open, store: Store) -> None:
    cron = await at_noon(store)
    job = await cron.add(HOURLY)
    await cron.at(NOON + HOUR_MS)
    await cron.crash()  # its turn had begun
    again = await at_noon(store, owner="two", clock=cron.clock)
    await again.look()
    await eventually(lambda: again.slots() == [NOON + HOUR_MS])
    await again.finish("at last")
    (run,) = await again.history()
    assert (run.status, run.summary) == ("ok", "at last")
    await again.crash()
    third = await at_noon(store, owner="three", clock=cron.clock)
    await third.look()
    assert third.slots() == []
    assert len(await rows(store, "SELECT * FROM inbox_messages")) == 1
    assert (await third.job(job.job_id)).state.last_run_status == "ok"


async def test_a_turn_that_ended_unseen_is_counted_by_whoever_comes(
    at_noon: Open, store: Store
) -> None:
    cron = await at_noon(store)
    job = await cron.add(HOURLY)
    await cron.at(NOON + HOUR_MS)
    (run_id,) = cron.open_runs()
    for task in [*cron.path.tasks._running]:
        if task.get_name().startswith("cron:"):
            task.cancel()
    await loop_turns()
    cron.puppet.finish(run_id, "unseen")
    await cron.path.ended(run_id)
    await cron.crash()
    again = await at_noon(store, owner="two", clock=cron.clock)
    await again.until_counted()
    (run,) = await again.history()
    assert (run.status, run.summary) == ("ok", "unseen")
    assert (await again.job(job.job_id)).state.consecutive_errors == 0


async def test_two_replicas_run_a_slot_once(at_noon: Open, store: Store) -> None:
    one = await at_noon(store, owner="one", alone=False)
    one.clock.set(NOON)
    two = await at_noon(store, owner="two", alone=False, clock=one.clock)
    jobs = [await one.add(HOURLY, name=f"job {number}") for number in range(5)]
    for hour in range(1, 4):
        one.clock.set(NOON + hour * HOUR_MS)
        await one.scheduler.look()
        await two.scheduler.look()
        await loop_turns(50)
        for cron in (one, two):
            await cron.finish()
    found = await rows(store, "SELECT event_key FROM inbox_messages ORDER BY event_key")
    expected = {f"{job.job_id}:{NOON + hour * HOUR_MS}" for job in jobs for hour in range(1, 4)}
    assert {row["event_key"] for row in found} == expected
    assert len(found) == len(expected)


async def test_replicas_that_look_at_the_same_moment_lose_no_slot(
    at_noon: Open, store: Store
) -> None:
    one = await at_noon(store, owner="one", alone=False)
    two = await at_noon(store, owner="two", alone=False, clock=one.clock)
    await one.add(HOURLY, misfire={"policy": "run_all"})
    one.clock.set(NOON + 4 * HOUR_MS)
    for _ in range(4):
        await asyncio.gather(one.scheduler.look(), two.scheduler.look())
        await loop_turns(50)
        for cron in (one, two):
            await cron.finish()
    assert {run.slot_at for run in await one.history()} == {
        NOON + hour * HOUR_MS for hour in range(1, 5)
    }


async def test_failures_back_off_and_end_with_the_job_switched_off(
    at_noon: Open, store: Store
) -> None:
    settings = CronSettings(rules=Rules(max_errors=3))
    cron = await at_noon(store, settings=settings)
    job = await cron.add({"kind": "every", "everyMs": 10_000})
    now, rests = NOON, []
    for _ in range(3):
        while not cron.open_runs():
            now += 1_000
            await cron.at(now)
        rests.append(now)
        await cron.fail()
    assert [later - before for before, later in pairwise(rests)] == [30_000, 60_000]
    job = await cron.job(job.job_id)
    assert not job.is_enabled
    assert job.state.auto_disabled is not None
    # The person is told where they are.
    told = await eventually(lambda: cron.path.transcript("main"))
    assert told[-1][0] == "assistant"
    assert "switched off" in told[-1][1]


async def test_switched_on_again_it_begins_afresh(at_noon: Open, store: Store) -> None:
    cron = await at_noon(store, settings=CronSettings(rules=Rules(max_errors=1)))
    job = await cron.add(HOURLY)
    await cron.at(NOON + HOUR_MS)
    await cron.fail()
    cron.clock.set(NOON + 5 * HOUR_MS + MINUTE_MS)
    job = await cron.update(job.job_id, enabled=True)
    assert (job.is_enabled, job.wake_at) == (True, NOON + 6 * HOUR_MS)
    assert (job.state.consecutive_errors, job.state.auto_disabled) == (0, None)


async def test_a_run_somebody_cancels_does_not_count_against_the_job(
    at_noon: Open, store: Store
) -> None:
    cron = await at_noon(store, settings=CronSettings(rules=Rules(max_errors=1)))
    job = await cron.add(HOURLY)
    await cron.at(NOON + HOUR_MS)
    (run_id,) = cron.open_runs()
    assert await cron.path.turns.cancel(run_id, "rpc")
    await cron.until_counted()
    (run,) = await cron.history()
    assert (run.status, run.error) == ("error", "the run was cancelled")
    assert (await cron.job(job.job_id)).is_enabled


async def test_a_one_shot_runs_and_is_gone(at_noon: Open, store: Store) -> None:
    cron = await at_noon(store)
    job = await cron.add({"kind": "at", "at": "2026-07-01T13:00:00Z"})
    await cron.at(NOON + HOUR_MS)
    await cron.finish()
    with pytest.raises(JobNotFound):
        await cron.job(job.job_id)
    (run,) = await cron.history()
    assert (run.status, run.job_name, run.next_run_at) == ("ok", "job", None)


async def test_a_one_shot_that_failed_stays_to_be_seen(at_noon: Open, store: Store) -> None:
    cron = await at_noon(store)
    job = await cron.add({"kind": "at", "at": "2026-07-01T13:00:00Z"})
    await cron.at(NOON + HOUR_MS)
    await cron.fail()
    job = await cron.job(job.job_id)
    assert (job.is_enabled, job.state.last_run_status) == (False, "error")
    await cron.at(NOON + DAY_MS)
    assert len(cron.slots()) == 1


async def test_by_hand_beside_the_schedule(at_noon: Open, store: Store) -> None:
    cron = await at_noon(store)
    job = await cron.add(HOURLY)
    ran = await cron.service.run(job.job_id, "force")
    assert ran.run_id is not None
    assert ran.run_id.startswith(f"manual:{job.job_id}:{NOON}:")
    await cron.path.begun(ran.run_id)
    await cron.finish("by hand")
    assert (await cron.job(job.job_id)).wake_at == NOON + HOUR_MS
    assert (await cron.service.run(job.job_id, "due")).reason == "not-due"
    await cron.update(job.job_id, enabled=False)
    assert (await cron.service.run(job.job_id, "if-enabled")).reason == "disabled"
    ran = await cron.service.run(job.job_id, "force")
    await cron.path.begun(str(ran.run_id))
    await cron.finish("switched off, and by hand")
    assert [run.summary for run in await cron.history()] == [
        "by hand",
        "switched off, and by hand",
    ]


async def test_due_by_hand_takes_the_slot(at_noon: Open, store: Store) -> None:
    cron = await at_noon(store)
    job = await cron.add(HOURLY)
    cron.clock.set(NOON + HOUR_MS)
    ran = await cron.service.run(job.job_id, "due")
    assert ran.run_id == f"cron:{job.job_id}:{NOON + HOUR_MS}"
    await cron.look()
    assert cron.slots() == [NOON + HOUR_MS]


async def test_a_scheduler_that_is_off_runs_by_hand_only(
    at_noon: Open, sqlite_store: Store
) -> None:
    cron = await at_noon(sqlite_store, settings=CronSettings(is_enabled=False))
    job = await cron.add(HOURLY)
    await cron.at(NOON + DAY_MS)
    assert cron.slots() == []
    assert (await cron.service.run(job.job_id, "force")).run_id is not None
    assert await cron.service.status() == (False, 1, None)


# -- where it runs, and where the answer goes --------------------------------------------------


async def test_an_event_in_the_main_session_is_answered_there(at_noon: Open, store: Store) -> None:
    cron = await at_noon(store)
    await cron.path.say("r1", "hello", session="main")
    await cron.path.begun("r1")
    await cron.finish("hi")
    job = await cron.add(
        HOURLY, payload={"kind": "systemEvent", "text": "stretch"}, delivery=None, name="Rest"
    )
    await cron.at(NOON + HOUR_MS)
    await cron.finish("I will remind you")
    assert await cron.path.transcript("main") == [
        ("user", "hello"),
        ("assistant", "hi"),
        ("user", f"[cron:{job.job_id} Rest] stretch"),
        ("assistant", "I will remind you"),
    ]
    (run,) = await cron.history()
    assert (run.route, run.delivery_status) == (None, "not-requested")


async def test_an_answer_is_announced_in_the_main_chat(at_noon: Open, store: Store) -> None:
    cron = await at_noon(store)
    await cron.add(HOURLY, delivery={"mode": "announce"})
    await cron.at(NOON + HOUR_MS)
    await cron.finish("the news")
    assert await cron.path.transcript("main") == [("assistant", "the news")]
    (run,) = await cron.history()
    assert (run.delivery_status, run.completion) == ("delivered", "succeeded")


async def test_an_answer_goes_where_the_last_message_came_from(at_noon: Open, store: Store) -> None:
    channel = FakeChannel()
    cron = await at_noon(store, channels={"fake": channel})
    await cron.path.say("r1", "hello", session="main", channel="fake")
    await cron.path.begun("r1")
    await cron.finish("hi")
    await cron.add(HOURLY, delivery={"mode": "announce", "channel": "last"})
    event = {"kind": "systemEvent", "text": "stretch"}
    await cron.add({"kind": "cron", "expr": "30 * * * *"}, payload=event, delivery=None)
    await cron.at(NOON + 30 * MINUTE_MS)
    await cron.finish("in the main session")
    await cron.at(NOON + HOUR_MS)
    await cron.finish("of its own")
    await eventually(lambda: len(channel.ledger) == 3)
    assert channel.texts == ["hi", "in the main session", "of its own"]
    assert {message.route.peer.id for message in channel.ledger} == {"ann"}
    # The event came from nobody: the person is still where they were.
    session = await cron.sessions.find("agent:main:main")
    assert session is not None
    assert session.reply_route is not None
    assert session.reply_route["channel"] == "fake"


async def test_an_answer_goes_where_the_job_says(at_noon: Open, store: Store) -> None:
    channel = FakeChannel()
    cron = await at_noon(store, channels={"fake": channel})
    delivery = {"mode": "announce", "channel": "fake", "to": "group-7", "threadId": 12}
    await cron.add(HOURLY, delivery=delivery)
    await cron.at(NOON + HOUR_MS)
    await cron.finish("to the group")
    (sent,) = channel.ledger
    assert (sent.route.peer.id, sent.route.thread_id) == ("group-7", "12")
    assert await cron.path.transcript("main") == []


@pytest.mark.parametrize("answer", ["NO_REPLY", " HEARTBEAT_OK ", ""])
async def test_nothing_to_say_is_not_sent(at_noon: Open, sqlite_store: Store, answer: str) -> None:
    channel = FakeChannel()
    cron = await at_noon(sqlite_store, channels={"fake": channel})
    await cron.add(HOURLY, delivery={"mode": "announce", "channel": "fake", "to": "ann"})
    await cron.at(NOON + HOUR_MS)
    await cron.finish(answer)
    (run,) = await cron.history()
    assert (run.delivery_status, run.completion) == ("not-requested", "succeeded")
    assert run.suppressed in {"silent", "empty"}
    assert channel.ledger == []


@pytest.mark.parametrize(("best_effort", "completion"), [(False, "failed"), (True, "succeeded")])
async def test_an_answer_that_cannot_be_delivered(
    at_noon: Open, sqlite_store: Store, best_effort: bool, completion: str
) -> None:
    channel = FakeChannel()
    channel.plan = [Rejected("no such chat")]
    cron = await at_noon(sqlite_store, channels={"fake": channel})
    delivery = {"mode": "announce", "channel": "fake", "to": "x", "bestEffort": best_effort}
    job = await cron.add(HOURLY, delivery=delivery)
    await cron.at(NOON + HOUR_MS)
    await cron.finish("lost")
    (run,) = await cron.history()
    assert (run.status, run.delivery_status) == ("ok", "not-delivered")
    assert (run.completion, run.delivery_error) == (completion, "Rejected: no such chat")
    job = await cron.job(job.job_id)
    assert (job.state.consecutive_errors, job.state.last_delivery_status) == (0, "not-delivered")


async def test_a_crash_while_the_answer_is_on_its_way(at_noon: Open, store: Store) -> None:
    channel = FakeChannel(keyed=True)
    channel.plan = ["hang"]
    cron = await at_noon(store, channels={"fake": channel})
    await cron.add(HOURLY, delivery={"mode": "announce", "channel": "fake", "to": "ann"})
    await cron.at(NOON + HOUR_MS)
    (run_id,) = cron.open_runs()
    cron.puppet.finish(run_id, "once")
    await eventually(lambda: channel.calls)
    await cron.crash()
    again = await at_noon(store, owner="two", clock=cron.clock, channels={"fake": channel})
    await again.until_counted()
    assert await again.history() == []  # it is tried again, and the run waits for that
    cron.clock.advance(30)
    again.path.outbox.wake()
    await eventually(lambda: channel.ledger)
    await again.look()
    await again.until_counted()
    assert channel.texts == ["once"]
    (run,) = await again.history()
    assert (run.status, run.delivery_status) == ("ok", "delivered")


async def test_a_delivery_that_takes_long_does_not_hold_up_the_job(
    at_noon: Open, store: Store
) -> None:
    channel = FakeChannel()
    channel.plan = [Transient("away")]
    cron = await at_noon(store, channels={"fake": channel})
    job = await cron.add(HOURLY, delivery={"mode": "announce", "channel": "fake", "to": "ann"})
    await cron.at(NOON + HOUR_MS)
    await cron.finish("late")
    assert await cron.history() == []
    cron.clock.advance(61)
    await cron.scheduler._adopt()
    await cron.until_counted()
    (run,) = await cron.history()
    assert (run.delivery_status, run.completion) == ("unknown", "unknown")
    cron.path.outbox.wake()
    await eventually(lambda: channel.ledger)
    await cron.path.outbox.wait_settled(str(run.delivery_id), 5)
    await cron.look()
    (run,) = await cron.history()
    assert (run.delivery_status, run.completion) == ("delivered", "succeeded")
    assert (await cron.job(job.job_id)).state.last_delivery_status == "delivered"


async def test_an_agent_that_is_gone_fails_its_jobs_and_nobody_elses(
    at_noon: Open, store: Store
) -> None:
    cron = await at_noon(store)
    job = await cron.add(HOURLY, agentId="fox")
    other = await cron.add(HOURLY)
    cron.agents._take(Roster((Agent("main", cron.puppet),), "main"))
    await cron.at(NOON + HOUR_MS)
    assert cron.slots() == [NOON + HOUR_MS]
    await cron.finish()
    (run,) = await cron.history(job_id=job.job_id)
    assert (run.status, run.error) == ("error", "agent fox is not configured")
    assert (await cron.service.run(job.job_id, "force")).reason == "ownerless"
    assert (await cron.job(other.job_id)).state.last_run_status == "ok"


async def test_a_full_conversation_postpones(at_noon: Open, sqlite_store: Store) -> None:
    cron = await at_noon(sqlite_store)
    cron.path.lanes.cap = 1
    await cron.path.say("r1", session="main")
    await cron.path.begun("r1")
    await cron.path.say("r2", session="main")
    event = {"kind": "systemEvent", "text": "stretch"}
    job = await cron.add(HOURLY, payload=event, delivery=None)
    await cron.at(NOON + HOUR_MS)
    assert cron.slots() == []
    postponed = await cron.job(job.job_id)
    assert (postponed.slot_at, postponed.wake_at) == (NOON + HOUR_MS, NOON + HOUR_MS + 5_000)
    cron.puppet.finish("r1")
    cron.puppet.finish("r2")
    await cron.path.ended("r2")
    await cron.later(5_000)
    assert cron.slots() == [NOON + HOUR_MS]


async def test_a_zone_that_is_gone_switches_the_job_off(
    at_noon: Open, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cron = await at_noon(sqlite_store)
    job = await cron.add(DAILY)
    from portico.automation.cron import schedule

    def gone(name: str) -> None:
        raise schedule.BadSchedule(f"unknown time zone: {name!r}")

    monkeypatch.setattr(schedule, "find_zone", gone)
    await cron.at(NOON + DAY_MS)
    job = await cron.job(job.job_id)
    assert not job.is_enabled
    assert job.state.auto_disabled is not None
    assert job.state.auto_disabled.reason == "schedule-errors"


# -- what is kept ------------------------------------------------------------------------------


async def test_sessions_of_isolated_runs_are_forgotten(at_noon: Open, store: Store) -> None:
    cron = await at_noon(store)
    await cron.add(HOURLY)
    await cron.at(NOON + HOUR_MS)
    await cron.finish("first")
    await cron.at(NOON + 2 * HOUR_MS)
    await cron.finish("second")
    first, second = [run.session_key for run in await cron.history()]
    assert second is not None
    await cron.path.say("r1", "go on", session=second.removeprefix("agent:main:"))
    await cron.path.begun("r1")
    await cron.finish("of course")
    cron.clock.set(NOON + 2 * DAY_MS)
    assert await cron.retention.forget_sessions() == 1
    assert await cron.sessions.find(str(first)) is None
    assert await cron.sessions.find(second) is not None  # somebody talked there
    assert await cron.retention.forget_sessions() == 0
    assert await cron.retention.forget_runs(before_ms=NOON + DAY_MS) == 2
    assert await cron.history() == []


async def test_only_so_many_runs_are_kept_per_job(at_noon: Open, store: Store) -> None:
    settings = CronSettings(keep_runs=2, keep_sessions_ms=None)
    cron = await at_noon(store, settings=settings)
    await cron.add(HOURLY)
    for hour in range(1, 5):
        await cron.at(NOON + hour * HOUR_MS)
        await cron.finish(str(hour))
    assert await cron.retention.forget_sessions() == 0
    assert await cron.retention.forget_runs(before_ms=0) == 2
    assert [run.summary for run in await cron.history()] == ["3", "4"]
