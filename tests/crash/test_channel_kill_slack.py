"""Kill the gateway while people write through Slack and are answered."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from portico.channels.slack.manifest import MANIFEST
from portico.testkit import Provider
from tests.crash.channel_kill import ChannelKill
from tests.fakes.slack import FakeSlack
from tests.fakes.slack_provider import SlackProvider


class TestSlack(ChannelKill):
    """Slack does not know a message that is posted twice: it must not be."""

    manifest = MANIFEST
    mode = "socket"

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        # It takes its time, so that kills come in the midst of calls.
        async with FakeSlack(latency_s=0.01) as slack:
            yield SlackProvider(slack, mode=self.mode)
            print(f"{slack.calls.count('conversations.history')} looks", file=sys.stderr)


class TestSlackByPost(TestSlack):
    """The same by the Events API."""

    mode = "http"

    def attach(self, provider: Provider, door: str) -> None:
        assert isinstance(provider, SlackProvider)
        provider.slack.door = f"{door}/events"
