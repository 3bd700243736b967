"""Kill the gateway while people write to Discord bots and are answered."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest
from typing_extensions import override

from portico.channels.discord.manifest import MANIFEST
from portico.testkit import Provider
from tests.crash import channel_kill
from tests.crash.channel_kill import ChannelKill
from tests.fakes.discord import FakeDiscord
from tests.support.waiting import eventually


class Known(FakeDiscord):
    """People write only to a bot that has been there, and the second words after the first.

    Before a bot's first session Discord keeps nothing for it; and after a lost session a bot can
    ask only those conversations that it knows.
    """

    @override
    async def say(self, text: str, *, sender: str = "ann") -> str:
        await eventually(lambda: self.identifies)
        await eventually(lambda: self.sessions or self.messages)
        is_first = not self.messages
        key = await super().say(text, sender=sender)
        if is_first:
            await eventually(lambda: self.is_acknowledged(key))
        return key


class TestDiscord(ChannelKill):
    """Sessions are resumed: what was not on disk is told again."""

    manifest = MANIFEST
    forgets: ClassVar[bool] = False

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with Known(bucket=(5, 0.05), forgets=self.forgets) as discord:
            yield discord
            print(
                f"{discord.identifies} sessions, {discord.resumes} resumed, "
                f"{discord.calls.count('GET channels/*/messages')} looks at the history",
                file=sys.stderr,
            )


class TestDiscordForgets(TestDiscord):
    """Sessions are forgotten at once: what was missed must be fetched."""

    forgets = True

    @pytest.fixture(autouse=True)
    def _kills_while_it_fetches(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before a new session Discord asks for a pause, and kills should come after it, too."""
        if request.node.get_closest_marker("crash") is not None:
            monkeypatch.setattr(channel_kill, "MIDST_S", 8.0)
