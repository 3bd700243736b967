"""The files of a turn: their bytes by hash, and what is said in its sounds, before an agent reads.

Theory of operation: a message is acknowledged before anybody listens to it. When its turn runs, its
sounds are given to the first engine that makes something of them; what was heard is kept under the
sound's hash, so that a turn that begins again, or the same sound in another message, is not heard
(and paid) twice. The agent reads it in the message's text, marked as heard; the transcript of the
conversation keeps it, too. When nobody makes anything of a sound, the message says so and goes on.

Guarantees: `prepared` does not raise, but for a cancellation; each engine has its own time; at most
so many sounds are listened to at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from portico.agents.files import GivenFile
from portico.agents.runtime import TurnRequest
from portico.channels.model import Attachment
from portico.clock import Clock
from portico.filetypes import HEAD_BYTES, kind_of, verified
from portico.media.store import works
from portico.media.store.service import MediaStore
from portico.media.transcription.model import Engine, NotHeard, Recording
from portico.sessions import transcript
from portico.store import Store
from portico.turns.model import TurnRow

log = structlog.get_logger()

MOST_SOUNDS = 5
"""How many sounds of one message are listened to."""
NOT_HEARD = "it could not be transcribed"


@dataclass(frozen=True, slots=True)
class HearingSettings:
    """Who listens, in the order in which they are asked.

    Attributes:
        max_chars: what was said is cut there; `None`: it is not.
    """

    engines: tuple[Engine, ...] = ()
    concurrency: int = 2
    max_chars: int | None = None


@dataclass(frozen=True, slots=True)
class _Heard:
    """What came of a sound."""

    text: str | None


class Hearing:
    """Hands out files, and listens to sounds."""

    def __init__(
        self, files: MediaStore, settings: HearingSettings, *, store: Store, clock: Clock
    ) -> None:
        self._files = files
        self._store = store
        self._clock = clock
        self.obey(settings)

    def obey(self, settings: HearingSettings) -> None:
        """Listen in another way from now on."""
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.concurrency)

    async def load(self, sha256: str) -> bytes | None:
        """Return the bytes that are kept under a hash; `None`: they are no longer kept."""
        return await self._files.load(sha256)

    async def prepared(self, request: TurnRequest, turn: TurnRow) -> TurnRequest:
        """Return a message with what is said in its sounds as text."""
        if not self._settings.engines or not _has_sound(request):
            return request
        try:
            return await self._heard(request, turn)
        except Exception as error:  # a message is answered, heard or not
            log.error("media.hearing_failed", run_id=turn.run_id, exc_info=error)
            return request

    async def _heard(self, request: TurnRequest, turn: TurnRow) -> TurnRequest:
        left = MOST_SOUNDS
        attachments, parts, said = [], [], {}
        for attachment in request.attachments:
            file = GivenFile.attached(attachment)
            found = await self._listened(file, turn) if left and _is_sound(file) else None
            left -= found is not None
            attachments.append(_with(attachment, found))
            if found is not None and found.text is not None and file.sha256 is not None:
                said[file.sha256] = found.text
        for part in request.parts:
            file = GivenFile.part(part)
            found = await self._listened(file, turn) if left and _is_sound(file) else None
            left -= found is not None
            parts.append(_part_with(part, found))
            if found is not None and found.text is not None and file.sha256 is not None:
                said[file.sha256] = found.text
        if said and turn.session_id is not None:
            await self._store.write(transcript.note_heard, turn.session_id, turn.run_id, said)
        return _told(request, tuple(attachments), tuple(parts))

    async def _listened(self, file: GivenFile, turn: TurnRow) -> _Heard | None:
        """Return what is said in a sound; `None`: there is nothing to listen to."""
        if file.transcript is not None:
            return None
        settings = self._settings
        for engine in settings.engines if file.sha256 is not None else ():
            known = await self._store.read(works.heard, file.sha256 or "", engine.id)
            if known is not None:
                return _Heard(known)
        content = file.content if file.sha256 is None else await self.load(file.sha256)
        if content is None:
            return None
        mime_type = verified(content[:HEAD_BYTES], file.mime_type)
        if kind_of(mime_type) != "audio":
            return None
        recording = Recording(content, mime_type)
        for engine in settings.engines:
            text = await self._asked(engine, recording, turn)
            if text is None:
                continue
            text = text if settings.max_chars is None else text[: settings.max_chars]
            if file.sha256 is not None:
                now = self._clock.now_ms()
                await self._store.write(works.remember_heard, file.sha256, engine.id, text, now=now)
            return _Heard(text)
        return _Heard(None)

    async def _asked(self, engine: Engine, recording: Recording, turn: TurnRow) -> str | None:
        if len(recording.content) > engine.max_bytes:
            log.warning("media.not_transcribed", engine=engine.id, reason="too large")
            return None
        try:
            async with self._slots:
                text = (await engine.listen(recording)).strip()
        except NotHeard as error:
            log.warning(
                "media.not_transcribed", run_id=turn.run_id, engine=engine.id, reason=str(error)
            )
            return None
        return text or None


def _has_sound(request: TurnRequest) -> bool:
    files = [GivenFile.attached(bare(one)) for one in request.attachments]
    return any(map(_is_sound, files)) or any(
        _is_sound(GivenFile.part({**part, "data": None})) for part in request.parts
    )


def bare(attachment: Attachment) -> Attachment:
    """Return an attachment without its bytes: to look at what it says of itself."""
    return msgspec.structs.replace(attachment, content=None, data=None)


def _is_sound(file: GivenFile) -> bool:
    return file.kind in {"audio", "voice"} or kind_of(file.mime_type or "") == "audio"


def _with(attachment: Attachment, found: _Heard | None) -> Attachment:
    if found is None:
        return attachment
    if found.text is None:
        return msgspec.structs.replace(attachment, note=NOT_HEARD)
    return msgspec.structs.replace(attachment, transcript=found.text)


def _part_with(part: dict[str, Any], found: _Heard | None) -> dict[str, Any]:
    if found is None:
        return part
    said: Mapping[str, Any] = (
        {"note": NOT_HEARD} if found.text is None else {"transcript": found.text}
    )
    return {**part, **said}


def _told(
    request: TurnRequest, attachments: tuple[Attachment, ...], parts: tuple[dict[str, Any], ...]
) -> TurnRequest:
    """Return a message whose text tells what was heard in its attachments and parts."""
    heard = [
        GivenFile.attached(bare(one)).heard() for one in attachments if one.transcript is not None
    ]
    spoken = [
        GivenFile.part({**part, "data": None}).heard() for part in parts if part.get("transcript")
    ]
    text = "\n\n".join(filter(None, (request.text, *heard, *spoken)))
    return msgspec.structs.replace(request, text=text, attachments=attachments, parts=parts)
