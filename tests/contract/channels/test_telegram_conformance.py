"""The Telegram channel keeps the contract: the real client library against a faithful Bot API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from portico.channels.telegram.manifest import MANIFEST
from portico.outbox.life import DeliveryState
from portico.testkit import Bench, ChannelConformance, Provider
from portico.testkit.conformance import scenario
from tests.fakes.telegram_provider import TelegramProvider, telegram_provider


class TestTelegram(ChannelConformance):
    manifest = MANIFEST

    @asynccontextmanager
    async def provider(self, bench: Bench) -> AsyncIterator[Provider]:
        async with telegram_provider() as provider:
            yield provider

    @scenario
    async def test_a_failure_is_tried_again_in_order(
        self, bench: Bench, provider: Provider
    ) -> None:
        """The one failure after which Telegram certainly has nothing: it cannot be reached."""
        assert isinstance(provider, TelegramProvider)
        route = await self._route(bench, provider)
        await provider.cable.pull()
        ids = [await bench.send(route, f"part {number}") for number in range(3)]
        await bench.until_settled(ids[0], DeliveryState.RETRY)
        await provider.cable.plug()
        for delivery_id in ids:
            await bench.until_settled(delivery_id, DeliveryState.SENT)
        assert [one.text for one in provider.sent()] == ["part 0", "part 1", "part 2"]
