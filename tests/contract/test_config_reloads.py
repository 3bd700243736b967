"""Changing the configuration again and again leaks nothing (PORTICO_RELOADS=1000: longer)."""

from __future__ import annotations

import gc
import os
from pathlib import Path

from tests.support.configured import TEXT, configured

WARM_UP = 20
RELOADS = int(os.environ.get("PORTICO_RELOADS", "80"))
# One more connection to the database is no leak; something left by each change is.
SPARE = (RELOADS - WARM_UP) // 4


def opened() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_reloads_leak_neither_tasks_nor_files_nor_followers(tmp_path: Path) -> None:
    async with configured(tmp_path) as house:
        live = house.gateway.ground.live
        seen: list[tuple[int, int, int]] = []
        for number in range(RELOADS):
            await live.replace(lambda _, n=number: TEXT.replace('"Ops"', f'"N{n}"'))  # type: ignore[misc]  # a default is what binds it
            if number in {WARM_UP, RELOADS - 1}:
                gc.collect()
                seen.append((len(house.gateway.ground.tasks), opened(), len(gc.get_objects())))
        before, after = seen
        assert after[0] <= before[0] + SPARE
        assert after[1] <= before[1] + SPARE
        assert after[2] < before[2] * 1.02
        assert house.gateway.conversation.agents.get("ops").name == f"N{RELOADS - 1}"
