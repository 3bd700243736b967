"""Files that come with a message: what clients send, what the path keeps, and the limits.

Source: OpenClaw gateway protocol, "chat.send" attachments and `policy.attachments`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from portico.channels.model import Attachment
from portico.protocol.errors import InvalidRequest
from portico.sessions.talk import ChatAttachment

_DATA_URL = re.compile(r"^data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)
_BASE64 = re.compile(r"^[A-Za-z0-9+/_-]*={0,2}$")
MAX_ATTACHMENTS = 20


@dataclass(frozen=True, slots=True)
class AttachmentLimits:
    """Bytes one message's files may have, decoded."""

    max_bytes: int = 20_971_520
    max_image_bytes: int = 6_291_456


def accept_attachments(
    given: Sequence[ChatAttachment], limits: AttachmentLimits
) -> tuple[Attachment, ...]:
    """Check and convert what a client attached.

    Raises:
        InvalidRequest: not base64, or too large.
    """
    if len(given) > MAX_ATTACHMENTS:
        raise InvalidRequest(f"at most {MAX_ATTACHMENTS} attachments can be sent with a message")
    accepted = tuple(_accept(one, number) for number, one in enumerate(given, 1))
    total = 0
    for attachment in accepted:
        size = attachment.size_bytes or 0
        total += size
        if attachment.type == "image" and size > limits.max_image_bytes:
            raise _too_large(attachment.file_name or "image", size, limits.max_image_bytes)
    if total > limits.max_bytes:
        raise _too_large("attachments", total, limits.max_bytes)
    return accepted


def _accept(given: ChatAttachment, number: int) -> Attachment:
    name = given.file_name or f"attachment {number}"
    content = given.content
    if not isinstance(content, str) or not content:
        raise InvalidRequest(f"{name}: content must be a base64 string or a data URL")
    mime_type = given.mime_type
    url = _DATA_URL.match(content)
    if url is not None:
        if "base64" not in url.group(2).lower():
            raise InvalidRequest(f"{name}: a data URL must be base64")
        mime_type = mime_type or url.group(1) or None
        content = content[url.end() :]
    content = "".join(content.split())
    if not _BASE64.match(content):
        raise InvalidRequest(f"{name}: content is not base64")
    return Attachment(
        type=given.type or _kind(mime_type),
        mime_type=mime_type,
        file_name=given.file_name,
        content=content,
        size_bytes=len(content.rstrip("=")) * 3 // 4,
    )


def _kind(mime_type: str | None) -> str:
    head = (mime_type or "").partition("/")[0]
    return head if head in {"image", "audio", "video"} else "file"


def _too_large(name: str, size: int, limit: int) -> InvalidRequest:
    return InvalidRequest(
        f"{name}: exceeds size limit ({size} > {limit} bytes)",
        details={"code": "ATTACHMENT_TOO_LARGE", "maxBytes": limit},
    )
