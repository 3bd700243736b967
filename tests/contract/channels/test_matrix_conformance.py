"""The Matrix channel keeps the contract, against a real homeserver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from portico.channels.matrix.manifest import MANIFEST
from portico.testkit import Bench, ChannelConformance, Provider
from tests.fakes.matrix_provider import MatrixProvider
from tests.support.synapse import Synapse


class TestMatrix(ChannelConformance):
    manifest = MANIFEST
    stall_s = 2.5

    @pytest.fixture(autouse=True)
    def _with(self, synapse: Synapse) -> None:
        self.synapse = synapse

    @asynccontextmanager
    async def provider(self, bench: Bench) -> AsyncIterator[Provider]:
        async with MatrixProvider(self.synapse) as provider:
            yield provider
