"""`portico cron`: what is asked for on the command line, and what of it goes to the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from portico.cli.exit import Failure
from portico.cli.job_options import (
    What,
    When,
    Where,
    delivery_of,
    misfire_of,
    payload_of,
    schedule_of,
    target_of,
)
from tests.fakes.gateway import TOKEN, FakeGateway, Peer, running_gateway
from tests.support.clock import FakeClock
from tests.support.cron import ms

CLOCK = FakeClock(ms("2026-07-01T12:00+00:00"))
BRIEF: dict[str, Any] = {
    "id": "job_1",
    "name": "Morning brief",
    "enabled": True,
    "schedule": {"kind": "cron", "expr": "0 7 * * *", "tz": "Europe/Berlin"},
    "sessionTarget": "isolated",
    "wakeMode": "now",
    "payload": {"kind": "agentTurn", "message": "What is new?"},
    "state": {"nextRunAtMs": 4_000_000_000_000, "lastRunStatus": "ok", "lastRunAtMs": 1000},
    "configRevision": "rev_1",
    "effectiveAgentId": "main",
}
OFF = {
    **BRIEF,
    "id": "job_2",
    "name": "Tea",
    "enabled": False,
    "schedule": {"kind": "every", "everyMs": 60_000},
    "state": {"autoDisabled": {"consecutiveErrors": 10}},
}
ENTRY = {
    "jobId": "job_1",
    "runId": "manual:job_1:1:1",
    "jobName": "Morning brief",
    "status": "ok",
    "completionStatus": "succeeded",
    "summary": "All is\nwell",
    "runAtMs": 1_782_907_200_000,
    "durationMs": 2000,
    "deliveryStatus": "delivered",
}
PAGE = {"hasMore": False, "nextOffset": None}
ANSWERS: dict[str, Any] = {
    "cron.list": {"jobs": [BRIEF, OFF], "total": 2, **PAGE},
    "cron.add": BRIEF,
    "cron.update": BRIEF,
    "cron.remove": {"ok": True, "removed": True},
    "cron.run": {"ok": True, "enqueued": True, "runId": "manual:job_1:1:1"},
    "cron.runs": {"entries": [ENTRY], "total": 1, **PAGE},
    "cron.status": {"enabled": True, "jobs": 2, "nextWakeAtMs": 4_000_000_000_000},
}


@pytest.fixture
async def gateway(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGateway]:
    async with running_gateway(answers=dict(ANSWERS)) as fake:
        monkeypatch.setenv("PORTICO_GATEWAY_URL", fake.url)
        monkeypatch.setenv("PORTICO_GATEWAY_TOKEN", TOKEN)
        yield fake


@pytest.fixture
def portico(gateway, portico_async):
    return portico_async


# -- the options -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "schedule"),
    [
        (When(at="2026-07-02T08:00"), {"kind": "at", "at": "2026-07-02T08:00:00.000+00:00"}),
        (
            When(at="2026-07-02T08:00", tz="Europe/Berlin"),
            {"kind": "at", "at": "2026-07-02T06:00:00.000+00:00"},
        ),
        (When(at="20m"), {"kind": "at", "at": "2026-07-01T12:20:00.000+00:00"}),
        (When(at="in 1h"), {"kind": "at", "at": "2026-07-01T13:00:00.000+00:00"}),
        (When(every="1h30m"), {"kind": "every", "everyMs": 5_400_000}),
        (When(cron="0 7 * * *"), {"kind": "cron", "expr": "0 7 * * *"}),
        (
            When(cron="0 7 * * *", tz="UTC", stagger="30s"),
            {"kind": "cron", "expr": "0 7 * * *", "tz": "UTC", "staggerMs": 30_000},
        ),
        (When(), None),
    ],
)
def test_schedules(when: When, schedule: Any) -> None:
    assert schedule_of(when, CLOCK) == schedule


@pytest.mark.parametrize(
    "when",
    [
        When(at="20m", every="1h"),
        When(at="yesterday"),
        When(every="often"),
        When(at="2026-07-02T08:00", tz="Mars"),
    ],
)
def test_schedules_that_make_no_sense(when: When) -> None:
    with pytest.raises(Failure):
        schedule_of(when, CLOCK)


def test_missed_slots() -> None:
    assert misfire_of(When()) is None
    when = When(misfire="run_all", grace="5m", spread="10s")
    wanted = {"policy": "run_all", "graceMs": 300_000, "staggerMs": 10_000}
    assert misfire_of(when) == wanted


def test_payloads_and_targets() -> None:
    assert payload_of(What()) is None
    assert payload_of(What(message="hi", model="a/b", run_timeout=5)) == {
        "kind": "agentTurn",
        "message": "hi",
        "model": "a/b",
        "timeoutSeconds": 5,
    }
    event = {"kind": "systemEvent", "text": "hi"}
    assert payload_of(What(system_event="hi")) == event
    assert payload_of(What(message="hi", session="main")) == event
    with pytest.raises(Failure):
        payload_of(What(message="a", system_event="b"))
    assert [target_of(What(session=name)) for name in (None, "main", "diary", "session:x")] == [
        None,
        "main",
        "session:diary",
        "session:x",
    ]


def test_deliveries() -> None:
    assert delivery_of(Where()) is None
    assert delivery_of(Where(deliver=False, channel="x")) == {"mode": "none"}
    assert delivery_of(Where(deliver=True)) == {"mode": "announce"}
    where = Where(channel="telegram", to="1", account="a", best_effort=True)
    assert delivery_of(where) == {
        "mode": "announce",
        "channel": "telegram",
        "to": "1",
        "accountId": "a",
        "bestEffort": True,
    }


# -- the commands ------------------------------------------------------------------------------


async def test_list_for_people_and_programs(gateway, portico) -> None:
    shown = (await portico("cron", "list", "--all", "--agent", "main")).out
    assert "0 7 * * * (Europe/Berlin)" in shown
    assert "every 1 min" in shown
    assert "switched off after 10 failures" in shown
    (asked,) = gateway.called("cron.list")
    assert asked == {"includeDisabled": True, "agentId": "main", "limit": 200, "offset": 0}
    assert (await portico("cron", "list", "--json")).json["total"] == 2


async def two_pages(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
    is_first = request["params"]["offset"] == 0
    page = {"jobs": [BRIEF if is_first else OFF], "nextOffset": 1 if is_first else None}
    await peer.answer(request, page)


async def test_list_asks_for_every_page(gateway, portico) -> None:
    gateway.methods["cron.list"] = two_pages
    shown = await portico("cron", "list", "--json")
    assert [job["id"] for job in shown.json["jobs"]] == ["job_1", "job_2"]


async def test_add(gateway, portico) -> None:
    shown = await portico(
        *("cron", "add", "Morning brief", "--cron", "0 7 * * *", "--tz", "Europe/Berlin"),
        *("-m", "What is new?", "--channel", "telegram", "--to", "12", "--agent", "fox"),
        *("--misfire", "skip", "--description", "d", "--disabled", "--keep-after-run"),
    )
    assert shown.code == 0
    assert "Added: Morning brief (job_1), next run 2096-" in shown.out
    assert gateway.called("cron.add") == [
        {
            "name": "Morning brief",
            "schedule": {"kind": "cron", "expr": "0 7 * * *", "tz": "Europe/Berlin"},
            "payload": {"kind": "agentTurn", "message": "What is new?"},
            "sessionTarget": "isolated",
            "wakeMode": "now",
            "enabled": False,
            "description": "d",
            "agentId": "fox",
            "delivery": {"mode": "announce", "channel": "telegram", "to": "12"},
            "misfire": {"policy": "skip"},
            "deleteAfterRun": False,
        }
    ]


async def test_add_needs_a_time_and_words(gateway, portico) -> None:
    shown = await portico("cron", "add", "x", "--every", "5m", "--json")
    assert (shown.code, shown.error["code"]) == (2, "usage")
    assert gateway.called("cron.add") == []


async def test_edit_changes_what_is_given(gateway, portico) -> None:
    await portico("cron", "edit", "morning BRIEF", "--cron", "30 6 * * *", "--no-deliver")
    await portico("cron", "edit", "job_1", "--tz", "UTC", "--name", "Brief")
    first, second = gateway.called("cron.update")
    assert first == {
        "id": "job_1",
        "patch": {
            "schedule": {"kind": "cron", "expr": "30 6 * * *", "tz": "Europe/Berlin"},
            "delivery": {"mode": "none"},
        },
        "expectedConfigRevision": "rev_1",
    }
    assert second["patch"] == {
        "schedule": {"kind": "cron", "expr": "0 7 * * *", "tz": "UTC"},
        "name": "Brief",
    }
    assert (await portico("cron", "edit", "job_1")).code == 2


async def test_switch_and_remove(gateway, portico) -> None:
    assert "Switched on" in (await portico("cron", "enable", "Tea")).out
    assert "Switched off" in (await portico("cron", "disable", "job_1")).out
    assert [asked["patch"] for asked in gateway.called("cron.update")] == [
        {"enabled": True},
        {"enabled": False},
    ]
    assert (await portico("cron", "remove", "Tea")).code == 5  # nobody answers the question
    assert gateway.called("cron.remove") == []
    assert (await portico("cron", "remove", "Tea", "--yes")).code == 0
    assert gateway.called("cron.remove") == [{"id": "job_2"}]


async def test_a_job_there_is_not(gateway, portico) -> None:
    shown = await portico("cron", "run", "nothing", "--json")
    assert (shown.code, shown.error["code"]) == (5, "cron.job_not_found")
    gateway.answers["cron.list"] = {"jobs": [BRIEF, {**BRIEF, "id": "job_3"}], **PAGE}
    assert "more than one" in (await portico("cron", "run", "Morning brief")).err


async def test_run_and_wait(gateway, portico) -> None:
    assert (await portico("cron", "run", "job_1")).out == "Runs: manual:job_1:1:1\n"
    waited = await portico("cron", "run", "job_1", "--wait")
    assert (waited.code, waited.out) == (0, "All is\nwell\n")
    failed = {**ENTRY, "status": "error", "completionStatus": "failed", "error": "no"}
    gateway.answers["cron.runs"] = {"entries": [{**failed, "summary": None}], **PAGE}
    waited = await portico("cron", "run", "job_1", "--wait", "--json")
    assert (waited.code, waited.json["run"]["error"]) == (1, "no")
    gateway.answers["cron.runs"] = {"entries": [], **PAGE}
    waited = await portico("cron", "run", "job_1", "--wait", "--timeout", "0.2", "--json")
    assert (waited.code, waited.error["code"]) == (1, "cron.still_running")
    gateway.answers["cron.run"] = {"ok": True, "ran": False, "reason": "not-due"}
    waited = await portico("cron", "run", "job_1", "--due")
    assert (waited.code, waited.out) == (1, "No: not-due\n")
    assert gateway.called("cron.run")[-1] == {"id": "job_1", "mode": "due"}


async def test_runs_show_and_status(gateway, portico) -> None:
    shown = (await portico("cron", "runs", "--status", "ok")).out
    assert "2026-07-01 12:00:00 UTC" in shown
    assert "All is well" in shown
    assert gateway.called("cron.runs") == [{"limit": 20, "status": "ok", "scope": "all"}]
    await portico("cron", "runs", "job_gone")
    assert gateway.called("cron.runs")[-1] == {"limit": 20, "id": "job_gone"}
    shown = (await portico("cron", "show", "Morning brief")).out
    assert "What is new?" in shown
    assert "All is well" in shown
    assert "Next run                2096-" in (await portico("cron", "status")).out
    assert (await portico("cron", "status", "--json")).json == ANSWERS["cron.status"]
