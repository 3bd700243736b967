"""Kill the gateway while people write to Matrix accounts and are answered; kill the homeserver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from portico.channels.matrix.manifest import MANIFEST
from portico.testkit import Provider
from tests.contract.channels.test_matrix import account_of, chat, configured, route
from tests.crash.channel_kill import ChannelKill
from tests.fakes.matrix_provider import MatrixProvider
from tests.support.http import house
from tests.support.synapse import Synapse
from tests.support.waiting import eventually


class TestMatrix(ChannelKill):
    manifest = MANIFEST

    @pytest.fixture(autouse=True)
    def _with(self, synapse: Synapse) -> None:
        self.synapse = synapse

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with MatrixProvider(self.synapse) as provider:
            yield provider

    async def test_killed_twice_every_message_is_answered_once_in_order(
        self, tmp_path: Path
    ) -> None:
        await self.storm(tmp_path, messages=48, kills=2)  # a real homeserver takes its time


@pytest.mark.crash
async def test_an_outage_of_the_homeserver_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "synapse").mkdir()
    server = await asyncio.to_thread(Synapse(tmp_path / "synapse").start)
    try:
        ann, bot = server.person(), server.person("bot")
        room_id = chat(ann, bot)
        quick = {"restart": {"firstMs": 100, "longestMs": 500, "breakMs": 500}}
        config = configured(bot, streaming="off")
        config["channels"]["defaults"] = quick
        async with house(tmp_path / "gateway", config) as gateway:
            await eventually(lambda: account_of(gateway).state.value == "connected")
            await asyncio.to_thread(server.kill)
            await eventually(lambda: account_of(gateway).state.value != "connected")
            texts = ["one", "two", "three"]
            for text in texts:
                await gateway.gateway.path.outbox.send(
                    route(room_id), text, media=(), session_key=None
                )
            await asyncio.to_thread(server.start)
            ann.say(room_id, "back?")
            await eventually(lambda: len(ann.said_by(bot, room_id)) == 4)
            said = ann.said_by(bot, room_id)
            assert [text for text in said if text in texts] == texts
            assert "Echo: back?" in said
    finally:
        server.stop()
