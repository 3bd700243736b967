"""Kill the gateway while people write mail and are answered: real IMAP and SMTP servers."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from portico.channels.email.manifest import MANIFEST
from portico.testkit import Provider
from tests.crash.channel_kill import ChannelKill
from tests.support.mail import post_office


class TestEmail(ChannelKill):
    manifest = MANIFEST
    # What comes before the first look at the mailbox would be passed over; and each mail begins a
    # thread of its own, whose answers need not keep the order of other threads'.
    settings: ClassVar[dict[str, Any]] = {"firstStart": "unseen", "sessions": "sender"}

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        with tempfile.TemporaryDirectory(prefix="portico-mail-") as folder:
            async with post_office(Path(folder)) as post:
                yield post
