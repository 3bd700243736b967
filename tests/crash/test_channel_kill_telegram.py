"""Kill the gateway while people write to Telegram bots and are answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from portico.channels.telegram.manifest import MANIFEST
from portico.testkit import Provider
from tests.crash.channel_kill import ChannelKill
from tests.fakes.telegram_provider import telegram_provider


class TestCommands(ChannelKill):
    """Commands are messages on the path, too: their answers are neither lost nor told twice."""

    manifest = MANIFEST
    accounts = 1

    def text(self, number: int) -> str:
        return f"/name trip {number}"

    def answer(self, text: str) -> str:
        return f"This session is now “{text.removeprefix('/name ')}”."

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with telegram_provider() as provider:
            yield provider


class TestTelegram(ChannelKill):
    manifest = MANIFEST

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with telegram_provider() as provider:
            yield provider
