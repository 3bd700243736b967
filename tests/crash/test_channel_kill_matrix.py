"""Kill the gateway while people write to Matrix accounts and are answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from portico.channels.matrix.manifest import MANIFEST
from portico.testkit import Provider
from tests.crash.channel_kill import ChannelKill
from tests.fakes.matrix_provider import MatrixProvider
from tests.support.synapse import Synapse


class TestMatrix(ChannelKill):
    manifest = MANIFEST

    @pytest.fixture(autouse=True)
    def _with(self, synapse: Synapse) -> None:
        self.synapse = synapse

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with MatrixProvider(self.synapse) as provider:
            yield provider

    @pytest.mark.timeout(240)
    async def test_killed_twice_every_message_is_answered_once_in_order(
        self, tmp_path: Path
    ) -> None:
        await self.storm(tmp_path, messages=48, kills=2)  # a real homeserver takes its time
