"""Hooks while the gateway is killed: what was answered with 200 is asked, and nothing twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2

from tests.crash.history import sqlite_reader
from tests.e2e.gateway import GatewayProcess
from tests.support.waiting import eventually

TOKEN = "crash-test-of-the-hooks-0123456789"
CONFIG: dict[str, Any] = {
    "gateway": {"auth": {"mode": "token", "token": "crash-test-of-the-gateway"}},
    "hooks": {"enabled": True, "token": TOKEN},
}
ROUNDS, DELIVERIES = 2, 20


async def deliver(gateway: GatewayProcess, number: int, runs: dict[int, set[str]]) -> None:
    """Post until it is accepted, and once more, as careful senders do."""
    accepted = 0
    async with httpx2.AsyncClient(base_url=gateway.url, timeout=5) as client:
        while accepted < 2:
            try:
                answer = await client.post(
                    "/hooks/agent",
                    json={"message": f"/sim delay_ms=5\ndelivery {number}", "deliver": False},
                    headers={"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": f"d{number}"},
                )
            except httpx2.TransportError:
                await asyncio.sleep(0.05)
                continue
            if answer.status_code == 200:
                runs.setdefault(number, set()).add(answer.json()["runId"])
                accepted += 1
            else:
                assert answer.status_code == 503, answer.text
                await asyncio.sleep(0.05)


async def test_what_was_accepted_is_asked_once(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path / "state", config=CONFIG)
    await asyncio.to_thread(gateway.start)
    runs: dict[int, set[str]] = {}
    dice = random.Random(7)
    for round_ in range(ROUNDS):
        numbers = range(round_ * DELIVERIES, (round_ + 1) * DELIVERIES)
        posting = asyncio.gather(*(deliver(gateway, number, runs) for number in numbers))
        await asyncio.sleep(dice.uniform(0.02, 0.2))  # the moment of death, not a wait
        await asyncio.to_thread(gateway.kill)
        await asyncio.to_thread(gateway.start)
        await asyncio.wait_for(posting, 60)
    assert all(len(ids) == 1 for ids in runs.values())
    assert len(runs) == ROUNDS * DELIVERIES
    select = sqlite_reader(tmp_path / "state" / "portico.sqlite")

    async def all_ended() -> bool:
        open_turns = await select(
            "SELECT count(*) AS n FROM turns WHERE state IN ('queued', 'running')"
        )
        return not open_turns[0]["n"]

    await eventually(all_ended)
    turns = await select("SELECT run_id, state FROM turns")
    assert {turn["run_id"] for turn in turns} == {run for ids in runs.values() for run in ids}
    assert {turn["state"] for turn in turns} == {"succeeded"}
    answers = await select("SELECT run_id FROM session_entries WHERE role = 'assistant'")
    assert Counter(row["run_id"] for row in answers) == Counter(turn["run_id"] for turn in turns)
    assert await asyncio.to_thread(gateway.stop) == 0
    assert gateway.tracebacks() == []
