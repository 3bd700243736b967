"""The Discord channel keeps the contract: the real discord.py against a fake of Discord."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from portico.channels.discord.manifest import MANIFEST
from portico.testkit import Bench, ChannelConformance, Provider
from tests.fakes.discord import FakeDiscord


class TestDiscord(ChannelConformance):
    manifest = MANIFEST
    stall_s = 1.5  # the fake's heartbeat is 0.2 s

    @asynccontextmanager
    async def provider(self, bench: Bench) -> AsyncIterator[Provider]:
        async with FakeDiscord() as discord:
            yield discord
