"""What becomes of a message just before it goes out: files of ours get a content, answers a voice.

Guarantees: it never fails and ends within `timeout_s`; a message whose file is gone goes out
without it and says so; an answer that could not be spoken goes out as text. A channel gets
addresses it can load itself: a file of ours as a `data:` URL.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import structlog

from portico.channels.contract import Outgoing
from portico.media.files import SCHEME, MediaFiles, mime_type
from portico.media.speech.model import SpeechError
from portico.media.speech.service import Speech, Wish

log = structlog.get_logger()

PREPARE_S = 15.0
MISSING = "[a file is missing: it was kept for a while and is gone]"

WasHeard = Callable[[str], Awaitable[bool]]
"""Whether the message a run answers was a voice message."""


class OutgoingMedia:
    """Prepares messages."""

    def __init__(
        self,
        *,
        files: MediaFiles,
        speech: Speech,
        was_heard: WasHeard,
        timeout_s: float = PREPARE_S,
    ) -> None:
        self._files = files
        self._speech = speech
        self._was_heard = was_heard
        self._timeout_s = timeout_s

    async def prepare(self, message: Outgoing) -> Outgoing:
        """Return a message as its channel is to send it."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._loaded(await self._voiced(message))
        except TimeoutError:
            log.warning("media.too_slow", delivery_id=message.delivery_id)
        return await self._loaded(message)

    async def _voiced(self, message: Outgoing) -> Outgoing:
        """Add a voice to an answer, when answers are spoken."""
        if not await self._is_spoken(message):
            return message
        try:
            done = await self._speech.say(Wish(message.text, channel=message.route.channel))
        except SpeechError as error:
            log.warning("speech.answer_not_spoken", error=str(error))
            return message
        return replace(message, media=(*message.media, done.ref))

    async def _is_spoken(self, message: Outgoing) -> bool:
        if message.run_id is None or message.media or not message.text.strip():
            return False
        match self._speech.auto:
            case "always":
                return True
            case "inbound":
                return await self._was_heard(message.run_id)
            case _:
                return False

    async def _loaded(self, message: Outgoing) -> Outgoing:
        """Put the content of our own files in place of their names."""
        if not any(url.startswith(SCHEME) for url in message.media):
            return message
        found = [await asyncio.to_thread(self._url, url) for url in message.media]
        media = tuple(url for url in found if url is not None)
        if len(media) == len(found):
            return replace(message, media=media)
        return replace(message, media=media, text=f"{message.text}\n\n{MISSING}".strip())

    def _url(self, url: str) -> str | None:
        if not url.startswith(SCHEME):
            return url
        path = self._files.path(url)
        content = _content(path) if path is not None else None
        if content is None:
            return None
        return f"data:{mime_type(url)};base64,{base64.b64encode(content).decode()}"


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
