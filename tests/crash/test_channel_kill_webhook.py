"""Kill the gateway while partners post through webhooks and are answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from portico.channels.webhook.manifest import MANIFEST
from portico.testkit import Provider
from tests.crash.channel_kill import ChannelKill
from tests.fakes.webhook_partner import Partner


class TestWebhook(ChannelKill):
    manifest = MANIFEST

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with Partner("") as partner:
            yield partner

    def attach(self, provider: Provider, door: str) -> None:
        assert isinstance(provider, Partner)
        provider.door = door
