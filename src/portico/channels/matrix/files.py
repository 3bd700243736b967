"""Files people send: what an event says of them, and their content.

Guarantees: nothing larger than allowed is read; a file that does not come is named without
content; an encrypted one is decrypted and its digest checked.

Source: https://spec.matrix.org/latest/client-server-api/#content-repository (authenticated media,
    v1.11); "Sending encrypted attachments"; voice messages: MSC3245.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import structlog
from nio.crypto import decrypt_attachment
from nio.exceptions import EncryptionError

from portico.channels.matrix.homeserver import Homeserver
from portico.channels.matrix.troubles import Trouble
from portico.channels.media import Kind
from portico.channels.model import Attachment

log = structlog.get_logger()

VOICE = "org.matrix.msc3245.voice"
_KINDS: dict[str, Kind] = {
    "m.image": "image",
    "m.sticker": "image",
    "m.audio": "audio",
    "m.video": "video",
    "m.file": "file",
}


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file an event names.

    Attributes:
        secret: how to decrypt it, when it is encrypted.
        caption: what was said with it.
    """

    kind: Kind
    mxc: str
    name: str | None
    mime_type: str | None
    size_bytes: int | None
    secret: dict[str, Any] | None
    caption: str = ""


def file_of(content: dict[str, Any], kind: str) -> FileRef | None:
    """Return the file of a message of this kind; `None`: such messages have none."""
    what = _KINDS.get(kind)
    if what is None:
        return None
    secret = content.get("file")
    secret = secret if isinstance(secret, dict) else None
    info = content.get("info")
    info = info if isinstance(info, dict) else {}
    body, name = _text(content.get("body")), _text(content.get("filename"))
    size, is_voice = info.get("size"), VOICE in content
    return FileRef(
        kind=what,
        mxc=str(content["url"] if secret is None else secret["url"]),
        name=name or (None if kind == "m.sticker" else body) or ("voice.ogg" if is_voice else None),
        mime_type=_text(info.get("mimetype")) or ("audio/ogg" if is_voice else None),
        size_bytes=size if type(size) is int and size >= 0 else None,
        secret=secret,
        caption=body if body and name and body != name else "",
    )


async def attachment(home: Homeserver, file: FileRef, *, max_bytes: int) -> Attachment:
    """Return a file with its content; one too large, or that does not come, is only named.

    Args:
        max_bytes: 0: do not fetch anything.
    """
    size = file.size_bytes
    shown = Attachment(
        type=file.kind, mime_type=file.mime_type, file_name=file.name, size_bytes=size
    )
    if max_bytes <= 0 or (size is not None and size > max_bytes):
        return shown
    try:
        content = await home.download(file.mxc, max_bytes=max_bytes)
        if file.secret is not None:
            content = await asyncio.to_thread(_decrypted, content, file.secret)
    except (Trouble, EncryptionError, KeyError, TypeError) as error:
        log.warning("matrix.file_not_fetched", error=type(error).__name__)
        return shown
    return Attachment.of(content, type=file.kind, mime_type=file.mime_type, file_name=file.name)


def _decrypted(content: bytes, secret: dict[str, Any]) -> bytes:
    found: bytes = decrypt_attachment(
        content, secret["key"]["k"], secret["hashes"]["sha256"], secret["iv"]
    )
    return found


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
