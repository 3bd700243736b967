"""The e-mail channel keeps the contract, against a real IMAP and a real SMTP server."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from portico.channels.email.manifest import MANIFEST
from portico.testkit import Bench, ChannelConformance, Provider
from tests.support.mail import post_office


class TestEmail(ChannelConformance):
    manifest = MANIFEST
    stall_s = 4  # an IDLE lasts a second here

    @asynccontextmanager
    async def provider(self, bench: Bench) -> AsyncIterator[Provider]:
        with tempfile.TemporaryDirectory(prefix="portico-mail-") as folder:
            async with post_office(Path(folder)) as post:
                yield post
