"""Kill the gateway at any moment: nothing acknowledged is lost, nothing is answered twice."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.driver import (
    CONFIG,
    Breaker,
    Driver,
    attach_patiently,
    kill_and_restart,
    terminate_and_restart,
)
from tests.crash.history import Findings, check, check_file, settled, sqlite_reader
from tests.e2e.gateway import GatewayProcess

ROUNDS = 20
MESSAGES = 1_000


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    process = GatewayProcess(tmp_path / "state", config=CONFIG)
    process.start()
    yield process
    process.kill()


async def storm(
    gateway: GatewayProcess, *, rounds: int, messages: int, breaker: Breaker
) -> tuple[Driver, Findings]:
    """Rounds of messages with one break each; then everything settles and is compared."""
    seed = random.randrange(10**9)
    print(f"seed {seed}", file=sys.stderr)
    driver = Driver(gateway, seed=seed)
    await attach_patiently(driver)
    for _ in range(rounds):
        await driver.round(messages, breaker)
    select = sqlite_reader(gateway.state_dir / "portico.sqlite")
    await settled(select)
    await driver.detach()
    findings = await check(driver, select)
    assert findings.problems == []
    assert gateway.stop() == 0
    assert check_file(gateway.state_dir / "portico.sqlite") == []
    assert gateway.tracebacks() == []
    assert driver.breaks == rounds
    print(
        f"{driver.count} acknowledged, {driver.resent} sent again, {findings.answered} answered, "
        f"{findings.interrupted} interrupted, {findings.resumed} resumed",
        file=sys.stderr,
    )
    return driver, findings


async def test_kill_in_the_middle(gateway: GatewayProcess) -> None:
    driver, _ = await storm(gateway, rounds=2, messages=100, breaker=kill_and_restart)
    assert driver.count >= 200


async def test_terminate_in_the_middle(gateway: GatewayProcess) -> None:
    _, findings = await storm(gateway, rounds=1, messages=100, breaker=terminate_and_restart)
    assert findings.interrupted == 0, "what ran was given the time to finish"


@pytest.mark.crash
async def test_kill_again_and_again(gateway: GatewayProcess) -> None:
    driver, findings = await storm(
        gateway, rounds=ROUNDS, messages=MESSAGES, breaker=kill_and_restart
    )
    assert driver.count >= ROUNDS * MESSAGES
    assert driver.resent > 0
    assert findings.resumed > 0


@pytest.mark.crash
async def test_kill_while_it_starts(tmp_path: Path) -> None:
    """The first start, with its migration, cut at any moment; then it comes up as ever."""
    process = GatewayProcess(tmp_path / "state", config=CONFIG)
    for delay_ms in range(0, 1500, 50):
        starting = asyncio.ensure_future(asyncio.to_thread(_start_quietly, process))
        await asyncio.sleep(delay_ms / 1000)
        process.kill()
        await starting
    process.start()
    assert process.stop() == 0
    assert check_file(tmp_path / "state" / "portico.sqlite") == []


def _start_quietly(process: GatewayProcess) -> None:
    with contextlib.suppress(AssertionError):
        process.start()
