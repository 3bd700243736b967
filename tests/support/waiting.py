"""Wait for a condition, never for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

PATIENCE_S = 60.0


async def eventually(
    condition: Callable[[], Any] | Callable[[], Awaitable[Any]], *, within_s: float = PATIENCE_S
) -> Any:
    """Return the condition's first true value."""
    async with asyncio.timeout(within_s):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.002)


async def loop_turns(count: int = 20) -> None:
    """Let everything that is ready to run, run."""
    for _ in range(count):
        await asyncio.sleep(0)
