"""Files people send, fetched.

Source: https://core.telegram.org/bots/api#getfile (bots may fetch up to 20 MB).
"""

from __future__ import annotations

from typing import Any

import structlog
from telegram import Bot, Message
from telegram.error import TelegramError

from portico.channels.media import Kind
from portico.channels.model import Attachment

log = structlog.get_logger()

MOST_BYTES = 20 * 1024 * 1024
FETCH_TIMEOUT_S = 30.0


async def attachments(bot: Bot, message: Message, *, max_bytes: int) -> list[Attachment]:
    """Return a message's file; one that is too large or does not come is named without content.

    Args:
        max_bytes: 0: do not fetch anything.
    """
    found = _file_of(message)
    if found is None:
        return []
    kind, file, mime_type, name = found
    size = getattr(file, "file_size", None)
    shown = Attachment(type=kind, mime_type=mime_type, file_name=name, size_bytes=size)
    if max_bytes <= 0 or (size is not None and size > min(max_bytes, MOST_BYTES)):
        return [shown]
    try:
        content = await _fetch(bot, file.file_id)
    except TelegramError as error:
        log.warning("telegram.file_not_fetched", error=type(error).__name__)
        return [shown]
    if len(content) > max_bytes:
        return [shown]
    return [Attachment.of(content, type=kind, mime_type=mime_type, file_name=name)]


async def _fetch(bot: Bot, file_id: str) -> bytes:
    file = await bot.get_file(file_id, read_timeout=FETCH_TIMEOUT_S)
    return bytes(await file.download_as_bytearray(read_timeout=FETCH_TIMEOUT_S))


def _file_of(message: Message) -> tuple[Kind, Any, str | None, str | None] | None:
    """Return the kind, the file, its MIME type and its name."""
    if message.photo:
        return "image", message.photo[-1], "image/jpeg", None
    if (voice := message.voice) is not None:
        return "audio", voice, voice.mime_type or "audio/ogg", "voice.ogg"
    if (audio := message.audio) is not None:
        return "audio", audio, audio.mime_type, audio.file_name
    if (video := message.video or message.video_note or message.animation) is not None:
        return "video", video, getattr(video, "mime_type", None) or "video/mp4", None
    if (document := message.document) is not None:
        kind: Kind = "image" if (document.mime_type or "").startswith("image/") else "file"
        return kind, document, document.mime_type, document.file_name
    sticker = message.sticker
    if sticker is not None and not sticker.is_animated and not sticker.is_video:
        return "image", sticker, "image/webp", None
    return None
