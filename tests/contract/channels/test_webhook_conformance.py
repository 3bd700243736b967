"""The webhook channel keeps the contract, against a partner that signs with a code of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from portico.channels.webhook.manifest import MANIFEST
from portico.testkit import Bench, ChannelConformance, Provider
from tests.fakes.webhook_partner import Partner


class TestWebhook(ChannelConformance):
    manifest = MANIFEST

    @asynccontextmanager
    async def provider(self, bench: Bench) -> AsyncIterator[Provider]:
        async with Partner(f"{bench.url}/integrations/webhook/default") as partner:
            yield partner
