"""PostgreSQL: the gateway is killed; one of two is paused past its leases and wakes up again."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.crash.driver import CONFIG, Driver, attach_patiently, kill_and_restart
from tests.crash.history import check, postgres_reader, settled
from tests.e2e.gateway import GatewayProcess
from tests.support.databases import PostgresServer

pytestmark = [pytest.mark.crash, pytest.mark.postgres]


@pytest.fixture
async def url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    made = await postgres_server.new_database(empty=True)
    yield made
    await postgres_server.drop(made)


@pytest.fixture
def gateways(tmp_path: Path, url: str) -> Iterator[list[GatewayProcess]]:
    """Two gateways on one database; the second is not started yet."""
    config: dict[str, Any] = CONFIG | {"store": {"url": url}}
    both = [GatewayProcess(tmp_path / name, config=config) for name in ("one", "two")]
    with ExitStack() as cleaning:
        for gateway in both:
            cleaning.callback(gateway.kill)
        both[0].start()
        yield both


async def test_kill_on_postgresql(gateways: list[GatewayProcess], url: str) -> None:
    driver = Driver(gateways[0])
    await attach_patiently(driver)
    for _ in range(3):
        await driver.round(300, kill_and_restart)
    select = postgres_reader(url)
    await settled(select)
    await driver.detach()
    findings = await check(driver, select)
    assert findings.problems == []
    assert findings.resumed > 0
    assert gateways[0].stop() == 0
    assert gateways[0].tracebacks() == []


async def test_a_paused_gateway_wakes_up_too_late(gateways: list[GatewayProcess], url: str) -> None:
    one, two = gateways
    driver = Driver(one)
    await attach_patiently(driver)

    async def pause(driver: Driver) -> None:
        os.kill(one.pid, signal.SIGSTOP)
        two.start()
        driver.gateway = two
        await attach_patiently(driver)

    await driver.round(300, pause)
    select = postgres_reader(url)
    await settled(select)  # its leases ran out, and the other one did its work
    os.kill(one.pid, signal.SIGCONT)
    # Awake, it answers again, and what it still had in its hands changes nothing.
    driver.gateway = one
    await attach_patiently(driver)
    await driver.round(100, None)
    await settled(select)
    await driver.detach()
    findings = await check(driver, select)
    assert findings.problems == []
    assert findings.resumed > 0
    assert [gateway.stop() for gateway in gateways] == [0, 0]
    assert [gateway.tracebacks() for gateway in gateways] == [[], []]
