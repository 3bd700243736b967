"""Kill the gateway while partners post through a channel and are answered.

Partners repeat what was not acknowledged, and know a delivery that comes twice by its id: every
message must be answered exactly once, in order, whatever died in between.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gateway import GatewayProcess
from tests.fakes.webhook_partner import SECRET, Partner

PARTNERS = 4
PATIENCE_S = 120.0


def config(partners: list[Partner]) -> dict[str, Any]:
    accounts = {f"p{number}": {"url": f"{one.url}/in"} for number, one in enumerate(partners)}
    return {
        "gateway": {"auth": {"mode": "token", "token": "crash-test-of-the-gateway"}},
        "messages": {"queue": {"cap": 10_000}},
        "session": {"dmScope": "per-account-channel-peer"},
        "channels": {
            "webhook": {
                "secret": SECRET,
                "dmPolicy": "open",
                "allowFrom": ["*"],
                "accounts": accounts,
            }
        },
    }


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[tuple[GatewayProcess, list[Partner]]]:
    async with AsyncExitStack() as stack:
        partners = [await stack.enter_async_context(Partner("")) for _ in range(PARTNERS)]
        gateway = GatewayProcess(folder / "state", config=config(partners))
        await asyncio.to_thread(gateway.start)
        for number, partner in enumerate(partners):
            partner.door = f"{gateway.url}/integrations/webhook/p{number}"
        try:
            yield gateway, partners
        finally:
            await asyncio.to_thread(gateway.kill)


async def storm(folder: Path, *, messages: int, kills: int) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}", file=sys.stderr)
    chance = random.Random(seed)
    texts = [f"message {number}" for number in range(messages // PARTNERS)]
    async with scene(folder) as (gateway, partners):
        for partner in partners:
            for text in texts:
                await partner.say(text)
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0.05, 0.8))
            await asyncio.to_thread(gateway.kill)
            await asyncio.to_thread(gateway.start)
        await all_answered(partners, len(texts))
        await asyncio.sleep(0.5)  # whatever came twice has come by now
        for partner in partners:
            answers = [one.text for one in partner.sent()]
            assert answers == [f"Echo: {text}" for text in texts]
        doubled = sum(one.attempts() - len(one.sent()) for one in partners)
        print(f"{messages} answered, {doubled} posts repeated", file=sys.stderr)
        assert await asyncio.to_thread(gateway.stop) == 0
        assert gateway.tracebacks() == []


async def all_answered(partners: list[Partner], count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while any(len(one.taken) < count for one in partners):
            await asyncio.sleep(0.05)


@pytest.mark.timeout(240)
async def test_killed_twice_every_message_is_answered_once_in_order(tmp_path: Path) -> None:
    await storm(tmp_path, messages=100, kills=2)


@pytest.mark.crash
async def test_killed_again_and_again(tmp_path: Path) -> None:
    await storm(tmp_path, messages=1_000, kills=20)
