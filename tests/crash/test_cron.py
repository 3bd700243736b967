"""Scheduled jobs while gateways are killed at any moment: each slot runs once, and none is lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.history import Select, postgres_reader, sqlite_reader
from tests.e2e.gateway import GatewayProcess, Operator
from tests.support.databases import PostgresServer
from tests.support.waiting import eventually

EVERY_MS = 100
CONFIG: dict[str, Any] = {
    "gateway": {"auth": {"mode": "token", "token": "crash-test-of-the-gateway"}},
    "cron": {"minIntervalMs": 10, "maxCatchUp": 1_000, "sessionRetention": False},
}
# A tool with side effects makes a turn that cannot be begun again: it ends as interrupted.
MESSAGES = ["hello", "/sim delay_ms=20\nslow", "/sim unsafe=1 delay_ms=10\nacts"]


def add_jobs(gateway: GatewayProcess) -> dict[str, int]:
    """Add jobs that want all their slots; return their anchors."""
    with Operator(gateway) as operator:
        made = [
            operator.call(
                "cron.add",
                name=f"job {number}",
                schedule={"kind": "every", "everyMs": EVERY_MS},
                sessionTarget="isolated",
                wakeMode="now",
                payload={"kind": "agentTurn", "message": message},
                delivery={"mode": "announce" if number == 0 else "none"},
                misfire={"policy": "run_all"},
            )
            for number, message in enumerate(MESSAGES)
        ]
    return {job["id"]: job["schedule"]["anchorMs"] for job in made}


def stop_jobs(gateway: GatewayProcess) -> None:
    """Let no further slot come due; what has is run to its end."""
    with Operator(gateway) as operator:
        for job in operator.call("cron.list")["jobs"]:
            patch = {"schedule": {"kind": "at", "at": "2099-01-01T00:00:00Z"}}
            operator.call("cron.update", id=job["id"], patch=patch)


async def at_rest(select: Select) -> bool:
    open_runs = await select("SELECT count(*) AS n FROM cron_runs WHERE state <> 'finished'")
    return not open_runs[0]["n"]


async def problems(select: Select, anchors: dict[str, int]) -> list[str]:
    """Compare the rows with the schedule."""
    found = []
    messages = await select("SELECT * FROM inbox_messages WHERE channel = 'cron'")
    turns = {row["run_id"]: row for row in await select("SELECT * FROM turns")}
    asked = Counter(row["run_id"] for row in await select(_ASKED))
    delivered = Counter(row["entry_id"] for row in await select(_DELIVERED))
    found += [f"{run_id}: asked {times} times" for run_id, times in asked.items() if times > 1]
    found += [f"{name}: said {times} times" for name, times in delivered.items() if times > 1]
    if {row["run_id"] for row in messages} != turns.keys():
        found.append("messages and turns are not the same")
    for run in await select("SELECT * FROM cron_runs"):
        turn = turns.get(run["run_id"])
        if turn is None:
            found.append(f"{run['run_id']}: no turn")
        elif (run["status"] == "ok") != (turn["state"] == "succeeded"):
            found.append(f"{run['run_id']}: {run['status']} of a turn that {turn['state']}")
    for job_id, anchor in anchors.items():
        rows = await select(f"SELECT slot_at FROM cron_runs WHERE job_id = '{job_id}'")
        slots = sorted(row["slot_at"] for row in rows)
        wanted = [anchor + EVERY_MS * (number + 1) for number in range(len(slots))]
        if slots != wanted:
            found.append(f"{job_id}: {len(slots)} slots, and not those of its schedule")
    return found


_ASKED = "SELECT run_id FROM session_entries WHERE role = 'user'"
_DELIVERED = "SELECT entry_id FROM session_entries WHERE entry_id LIKE 'dlv%'"


async def ran(select: Select) -> int:
    return int((await select("SELECT count(*) AS n FROM cron_runs"))[0]["n"])


async def test_kill_at_any_moment(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path / "state", config=CONFIG).start()
    select = sqlite_reader(gateway.state_dir / "portico.sqlite")
    try:
        anchors = await asyncio.to_thread(add_jobs, gateway)
        for _ in range(5):
            before = await ran(select)
            await eventually(lambda before=before: _more(select, before + 5))
            await asyncio.sleep(random.uniform(0, 0.1))  # any moment of a slot
            await asyncio.to_thread(gateway.kill)
            await asyncio.to_thread(gateway.start)
        before = await ran(select)
        await eventually(lambda: _more(select, before + 10))
        await asyncio.to_thread(stop_jobs, gateway)
        await eventually(lambda: at_rest(select))
        assert await problems(select, anchors) == []
        assert await asyncio.to_thread(gateway.stop) == 0
        assert gateway.tracebacks() == []
    finally:
        gateway.kill()


async def _more(select: Select, wanted: int) -> bool:
    return await ran(select) >= wanted


@pytest.fixture
async def url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    made = await postgres_server.new_database(empty=True)
    yield made
    await postgres_server.drop(made)


@pytest.fixture
def replicas(tmp_path: Path, url: str) -> Iterator[list[GatewayProcess]]:
    config = CONFIG | {"store": {"url": url}}
    both = [GatewayProcess(tmp_path / name, config=config) for name in ("one", "two")]
    with contextlib.ExitStack() as cleaning:
        for gateway in both:
            cleaning.callback(gateway.kill)
            gateway.start()
        yield both


@pytest.mark.postgres
async def test_two_replicas(replicas: list[GatewayProcess], url: str) -> None:
    select = postgres_reader(url)
    anchors = await asyncio.to_thread(add_jobs, replicas[0])
    await eventually(lambda: _more(select, 40))
    await _check_the_end(replicas, select, anchors, within_s=30)


@pytest.mark.crash
@pytest.mark.postgres
async def test_one_of_two_replicas_dies(replicas: list[GatewayProcess], url: str) -> None:
    one, _ = replicas
    select = postgres_reader(url)
    anchors = await asyncio.to_thread(add_jobs, one)
    await eventually(lambda: _more(select, 40))
    await asyncio.to_thread(one.kill)
    await eventually(lambda: _more(select, 60))  # the other one goes on
    await asyncio.to_thread(one.start)
    # What ran in the one that died waits for its lease to run out.
    await _check_the_end(replicas, select, anchors, within_s=90)


async def _check_the_end(
    replicas: list[GatewayProcess], select: Select, anchors: dict[str, int], *, within_s: float
) -> None:
    await asyncio.to_thread(stop_jobs, replicas[1])
    await eventually(lambda: at_rest(select), within_s=within_s)
    assert await problems(select, anchors) == []
    for gateway in replicas:
        assert await asyncio.to_thread(gateway.stop) == 0
        assert gateway.tracebacks() == []
