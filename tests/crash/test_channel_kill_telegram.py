"""Kill the gateway while people write to Telegram bots and are answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from portico.channels.telegram.manifest import MANIFEST
from portico.testkit import Provider
from tests.crash.channel_kill import ChannelKill
from tests.fakes.telegram_provider import telegram_provider


class TestTelegram(ChannelKill):
    manifest = MANIFEST

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with telegram_provider() as provider:
            yield provider
