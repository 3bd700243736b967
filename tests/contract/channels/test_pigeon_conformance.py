"""The example of the documentation keeps the contract, and is what the documentation shows."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from portico.testkit import Bench, ChannelConformance, Provider
from tests.fakes.pigeon.loft import FakeLoft
from tests.fakes.pigeon.manifest import MANIFEST

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "channels" / "writing-a-channel.md"


class TestPigeon(ChannelConformance):
    manifest = MANIFEST
    stall_s = 1.5

    @asynccontextmanager
    async def provider(self, bench: Bench) -> AsyncIterator[Provider]:
        async with FakeLoft() as loft:
            yield loft


@pytest.mark.parametrize("name", ["manifest", "config", "channel", "loft"])
def test_the_page_shows_this_code(name: str) -> None:
    code = (ROOT / "tests" / "fakes" / "pigeon" / f"{name}.py").read_text()
    body = code.partition("\n\n")[2].replace("tests.fakes.pigeon", "my_pigeons").strip()
    blocks = [
        block.strip() for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    ]
    assert body in blocks
