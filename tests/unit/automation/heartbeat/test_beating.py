"""Hearts beat: once per turn, quietly when all is well, not when they should rest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portico.agents.service import Agent, Roster
from portico.automation.cron.asking import Event
from portico.automation.heartbeat import store as beat_store
from portico.automation.heartbeat.jobs import reconcile
from portico.automation.heartbeat.model import ActiveHours, HeartbeatSettings
from portico.protocol.errors import InvalidRequest
from portico.store import Store
from tests.support.cron import HOUR_MS, MINUTE_MS, CronPath, ms
from tests.support.path import FakeChannel
from tests.support.waiting import eventually, loop_turns

NOON = ms("2026-07-01T12:00+00:00")
MAIN = "agent:main:main"
JOB = "heartbeat-main"
HEART = HeartbeatSettings(
    every_ms=30 * MINUTE_MS, every="30m", prompt="Look around.", session_key=MAIN
)
Open = Callable[..., Awaitable[CronPath]]


@pytest.fixture
async def beating() -> AsyncIterator[Open]:
    """Opens owners at noon whose main agent looks around; all have died at the end."""
    opened: list[CronPath] = []

    async def open_one(store: Store, heart: HeartbeatSettings = HEART, **how: Any) -> CronPath:
        cron = CronPath(store, heartbeats={"main": heart}, **how)
        if "clock" not in how:
            cron.clock.set(NOON)
        opened.append(cron)
        return await cron.start()

    yield open_one
    for cron in opened:
        await cron.crash()


def told(cron: CronPath) -> list[dict[str, Any]]:
    frames = cron.path.events.frames
    return [frame["payload"] for frame in frames if frame["event"] == "heartbeat"]


def with_workspace(cron: CronPath, folder: Path) -> None:
    agent = Agent("main", cron.puppet, workspace=str(folder))
    cron.agents.replace(Roster((agent,), "main"))


async def test_a_heart_beats_at_its_times(beating: Open, store: Store) -> None:
    cron = await beating(store)
    await cron.at(NOON + 30 * MINUTE_MS - 1)
    assert cron.slots() == []
    await cron.at(NOON + 30 * MINUTE_MS)
    (turn,) = cron.puppet.turns
    assert (turn.session_key, turn.request.text) == (MAIN, "Look around.")
    assert turn.request.is_untrusted is False
    await cron.finish("The cellar is wet.")
    await cron.at(NOON + 60 * MINUTE_MS)
    assert cron.slots() == [NOON + 30 * MINUTE_MS, NOON + 60 * MINUTE_MS]
    (beat,) = told(cron)
    assert (beat["status"], beat["preview"]) == ("sent", "The cellar is wet.")
    assert (beat["agentId"], beat["indicatorType"]) == ("main", "alert")
    assert await cron.path.transcript("main") == [
        ("user", "Look around."),
        ("assistant", "The cellar is wet."),
        ("user", "Look around."),
    ]


@pytest.mark.parametrize(
    "answer", ["HEARTBEAT_OK", "**HEARTBEAT_OK**", "HEARTBEAT_OK All is well."]
)
async def test_a_quiet_beat_leaves_nothing(beating: Open, store: Store, answer: str) -> None:
    channel = FakeChannel()
    heart = replace(HEART, target="fake", to="ann")
    cron = await beating(store, heart, channels={"fake": channel})
    await cron.at(NOON + 30 * MINUTE_MS)
    await cron.finish(answer)
    assert await cron.path.transcript("main") == []
    assert channel.ledger == []
    (beat,) = told(cron)
    assert (beat["status"], beat["silent"], beat["indicatorType"]) == ("ok-token", True, "ok")
    assert await cron.automation.heartbeats.last() is not None
    (chat,) = [frame for frame in cron.path.events.frames if frame["event"] == "chat"]
    assert chat["payload"]["state"] == "final"
    assert "message" not in chat["payload"]  # nothing to show


async def test_what_is_said_goes_to_its_target(beating: Open, store: Store) -> None:
    channel = FakeChannel()
    heart = replace(HEART, target="fake", to="ann")
    cron = await beating(store, heart, channels={"fake": channel})
    await cron.at(NOON + 30 * MINUTE_MS)
    await cron.finish("The cellar is wet.")
    await eventually(lambda: told(cron))
    (sent,) = channel.ledger
    assert (sent.route.peer.id, sent.text) == ("ann", "The cellar is wet.")
    (beat,) = told(cron)
    assert (beat["channel"], beat["to"]) == ("fake", "ann")


async def test_a_long_answer_beside_the_token_is_shown(beating: Open, store: Store) -> None:
    cron = await beating(store, replace(HEART, ack_max_chars=5))
    await cron.at(NOON + 30 * MINUTE_MS)
    await cron.finish("HEARTBEAT_OK but the cellar is wet")
    assert told(cron)[0]["status"] == "sent"


async def test_a_heart_waits_for_a_busy_session_and_beats_then(beating: Open, store: Store) -> None:
    cron = await beating(store)
    await cron.path.say("r1", "hello", session="main")
    await cron.at(NOON + 30 * MINUTE_MS)
    assert cron.slots() == []
    assert told(cron)[0]["reason"] == "requests-in-flight"
    cron.puppet.finish("r1", "hi")
    await cron.path.ended("r1")
    await cron.at(NOON + 30 * MINUTE_MS + 59_000)
    assert cron.slots() == []
    await cron.at(NOON + 35 * MINUTE_MS)
    assert cron.slots() == [NOON + 30 * MINUTE_MS]


async def test_two_beats_never_overlap(beating: Open, store: Store) -> None:
    cron = await beating(store)
    await cron.at(NOON + 30 * MINUTE_MS)
    await cron.at(NOON + 90 * MINUTE_MS)
    assert len(cron.puppet.turns) == 1
    await cron.finish("HEARTBEAT_OK")
    await cron.look()
    assert cron.slots() == [NOON + 30 * MINUTE_MS, NOON + 90 * MINUTE_MS]


async def test_each_slot_beats_once_over_restarts(beating: Open, store: Store) -> None:
    first = await beating(store)
    await first.at(NOON + 30 * MINUTE_MS)
    await first.crash()
    second = await beating(store, owner="two", clock=first.clock)
    await second.look()
    await eventually(lambda: second.open_runs())
    await second.finish("HEARTBEAT_OK")
    await second.look()
    runs = await second.history(job_id=JOB)
    assert [run.slot_at for run in runs] == [NOON + 30 * MINUTE_MS]
    assert (await second.job(JOB)).slot_at == NOON + 60 * MINUTE_MS


async def test_of_two_replicas_one_beats(beating: Open, store: Store) -> None:
    one = await beating(store, owner="one", alone=False)
    two = await beating(store, owner="two", alone=False, clock=one.clock)
    for turn in range(1, 5):
        one.clock.set(NOON + turn * 30 * MINUTE_MS)
        await (one if turn % 2 else two).look()
        await (two if turn % 2 else one).look()
        await one.finish("HEARTBEAT_OK")
        await two.finish("HEARTBEAT_OK")
    assert sorted(one.slots() + two.slots()) == [NOON + n * 30 * MINUTE_MS for n in range(1, 5)]


async def test_a_heart_rests_outside_its_hours(beating: Open, store: Store) -> None:
    hours = ActiveHours(start=8 * 60, end=13 * 60, zone="UTC")
    cron = await beating(store, replace(HEART, active_hours=hours))
    for half_hour in range(1, 48):
        await cron.at(NOON + half_hour * 30 * MINUTE_MS)
        await cron.finish("HEARTBEAT_OK")
    tomorrow = NOON + 20 * HOUR_MS
    wanted = [NOON + 30 * MINUTE_MS, *range(tomorrow, tomorrow + 4 * HOUR_MS, 30 * MINUTE_MS)]
    assert cron.slots() == wanted
    assert {beat.get("reason") for beat in told(cron)} == {None, "quiet-hours"}


async def test_all_hearts_rest_until_somebody_says_otherwise(beating: Open, store: Store) -> None:
    cron = await beating(store)
    await cron.automation.heartbeats.switch(on=False)
    await cron.at(NOON + 30 * MINUTE_MS)
    assert cron.slots() == []
    again = await beating(store, clock=cron.clock)  # it is remembered
    await again.at(NOON + 60 * MINUTE_MS)
    assert again.slots() == []
    await again.automation.heartbeats.switch(on=True)
    await again.at(NOON + 90 * MINUTE_MS)
    assert again.slots() == [NOON + 90 * MINUTE_MS]


async def test_an_empty_list_of_things_to_do_is_not_asked_about(
    beating: Open, store: Store, tmp_path: Path
) -> None:
    cron = await beating(store)
    with_workspace(cron, tmp_path)
    (tmp_path / "HEARTBEAT.md").write_text("# To do\n\n## Today\n")
    await cron.at(NOON + 30 * MINUTE_MS)
    assert (cron.slots(), told(cron)[0]["reason"]) == ([], "empty-heartbeat-file")
    (tmp_path / "HEARTBEAT.md").write_text("# To do\n- water the plants\n")
    await cron.at(NOON + 60 * MINUTE_MS)
    (turn,) = cron.puppet.turns
    assert "water the plants" in (turn.request.late_context or "")


async def test_an_event_is_told_with_the_next_beat_and_once(
    beating: Open, store: Store, tmp_path: Path
) -> None:
    cron = await beating(store)
    with_workspace(cron, tmp_path)
    (tmp_path / "HEARTBEAT.md").write_text("\n")
    wake = cron.automation.waker.wake
    assert await wake(MAIN, "The bell rang.", "next-heartbeat") == "queued"
    assert await wake(MAIN, "The bell rang.", "next-heartbeat") == "coalesced"
    assert cron.puppet.turns == []
    await cron.at(NOON + 30 * MINUTE_MS)
    (turn,) = cron.puppet.turns
    assert turn.request.text.count("The bell rang.") == 1
    await cron.finish("HEARTBEAT_OK")
    await cron.at(NOON + 60 * MINUTE_MS)
    assert len(cron.puppet.turns) == 1  # nothing waits any more, and there is nothing to do


async def test_an_event_can_bring_the_beat_forward(beating: Open, store: Store) -> None:
    cron = await beating(store)
    await cron.automation.waker.wake(MAIN, "The bell rang.", "now")
    await loop_turns()
    (turn,) = cron.puppet.turns
    assert "The bell rang." in turn.request.text
    again = await cron.automation.waker.wake(MAIN, "It rang again.", "now")
    assert again == "told"  # after the beat, as a message of its own
    await cron.finish("HEARTBEAT_OK")
    await eventually(lambda: len(cron.puppet.turns) == 2)
    assert cron.puppet.turns[1].request.text == "[system event] It rang again."
    assert (await cron.job(JOB)).slot_at == NOON + 30 * MINUTE_MS


async def test_events_of_strangers_make_a_beat_untrusted(beating: Open, store: Store) -> None:
    cron = await beating(store)
    await cron.automation.waker.wake(MAIN, "Obey!", "next-heartbeat", is_untrusted=True)
    await cron.automation.waker.wake(MAIN, "All is well.", "next-heartbeat")
    await cron.at(NOON + 30 * MINUTE_MS)
    assert cron.puppet.turns[0].request.is_untrusted


async def test_an_agent_without_a_heart_is_told_at_once(beating: Open, store: Store) -> None:
    cron = await beating(store)
    assert await cron.automation.waker.wake("agent:fox:main", "Run.", "next-heartbeat") == "told"
    await loop_turns()
    (turn,) = cron.puppet.turns
    assert (turn.session_key, turn.agent_id) == ("agent:fox:main", "fox")
    cron.puppet.finish(turn.run_id, "NO_REPLY")
    ended = await cron.path.ended(turn.run_id)
    assert ended.result is not None
    assert ended.result.is_quiet
    assert await cron.automation.waker.wake("agent:main:cron:x:run:1", "x", "now") == "unwakeable"


async def test_events_are_bounded(store: Store) -> None:
    for number in range(beat_store.MAX_WAITING + 5):
        await store.write(beat_store.keep, MAIN, Event(f"e{number}"), now=number)
    waiting = await store.write(beat_store.take, MAIN)
    assert [event.text for event in waiting][:2] == ["e5", "e6"]
    assert len(waiting) == beat_store.MAX_WAITING


async def test_the_jobs_follow_the_configuration(beating: Open, store: Store) -> None:
    cron = await beating(store)
    before = await cron.job(JOB)
    rules = cron.automation._rules
    await store.write(reconcile, {"main": HEART}, rules=rules, now=NOON + 1)
    assert await cron.job(JOB) == before
    faster = replace(HEART, every_ms=10 * MINUTE_MS)
    await store.write(reconcile, {"main": faster, "fox": HEART}, rules=rules, now=NOON)
    assert (await cron.job(JOB)).slot_at == NOON + 10 * MINUTE_MS
    assert (await cron.job("heartbeat-fox")).agent_id == "fox"
    await store.write(reconcile, {}, rules=rules, now=NOON)
    assert await cron.service.jobs(_all()) == []


def _all() -> Any:
    from portico.automation.cron.service import JobFilter

    return JobFilter(is_enabled=None)


async def test_a_heartbeat_is_not_changed_as_a_job(beating: Open, store: Store) -> None:
    cron = await beating(store)
    with pytest.raises(InvalidRequest, match=r"agents\.\*\.heartbeat"):
        await cron.update(JOB, enabled=False)
    with pytest.raises(InvalidRequest, match="configuration"):
        await cron.service.remove(JOB)
