"""Kill the gateway while people write to Matrix accounts and are answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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
