"""The Slack channel keeps the contract, by Socket Mode and by the Events API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from portico.channels.slack.manifest import MANIFEST
from portico.testkit import Bench, ChannelConformance, Provider
from tests.fakes.slack import FakeSlack
from tests.fakes.slack_provider import SlackProvider


class TestSocketMode(ChannelConformance):
    manifest = MANIFEST
    stall_s = 1.5

    @asynccontextmanager
    async def provider(self, bench: Bench) -> AsyncIterator[Provider]:
        async with FakeSlack() as slack:
            yield SlackProvider(slack)
            assert slack.leaks == []
            assert slack.most_sockets <= 2


class TestEventsApi(ChannelConformance):
    manifest = MANIFEST
    stall_s = 3

    @asynccontextmanager
    async def provider(self, bench: Bench) -> AsyncIterator[Provider]:
        async with FakeSlack() as slack:
            slack.door = f"{bench.url}/integrations/slack/events"
            yield SlackProvider(slack, mode="http")
            assert slack.leaks == []
