"""What a message says: as its row keeps it, as patterns search it, as a repeat is told by."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from portico.agents.runtime import TurnRequest
from portico.channels.model import Attachment, InboundMessage
from portico.inbox.model import Routing


def body_of(message: InboundMessage) -> str:
    """Return what the row of a message keeps of it, as JSON."""
    body: dict[str, Any] = {"text": message.text, "parts": message.parts}
    more = {
        "attachments": [*map(_named, message.attachments)] or None,
        "senderName": message.sender_name,
        "externalId": message.external_id,
        "replyTo": message.reply_to,
        "sentAt": message.sent_at_ms,
        "isUntrusted": message.is_untrusted,
    }
    body.update({name: value for name, value in more.items() if value is not None})
    return msgspec.json.encode(body).decode()


def bare(message: InboundMessage) -> InboundMessage:
    """Return a message without the bytes of its files; their names stay."""
    return msgspec.structs.replace(
        message,
        attachments=tuple(map(_named, message.attachments)),
        parts=tuple({k: v for k, v in part.items() if k != "data"} for part in message.parts),
    )


def has_bytes(message: InboundMessage) -> bool:
    """Whether a message carries the bytes of files itself."""
    in_parts = any(part.get("data") for part in message.parts)
    return in_parts or any(one.has_bytes for one in message.attachments)


def _named(attachment: Attachment) -> Attachment:
    return msgspec.structs.replace(attachment, content=None, data=None)


def searchable_text(message: InboundMessage) -> str:
    """Return all that somebody has written, for mention patterns."""
    texts = [message.text, *(str(part.get("text", "")) for part in message.parts)]
    return "\n".join(texts)


def fingerprint_of(message: InboundMessage, request: TurnRequest, routing: Routing) -> str:
    """Return what tells a repeat of a message from another one under the same key."""
    files = tuple(msgspec.structs.replace(file, note=None) for file in message.attachments)
    asked = (message.text, message.parts, files, message.sender, message.thread_id)
    how = (request.system_prompt, request.late_context, request.model, request.thinking)
    where = (routing.session_key, routing.agent_id) if routing.asked is None else (routing.asked,)
    told = (request.prior,) if request.prior else ()  # without it, fingerprints stay as they were
    whole = msgspec.json.encode((asked, how, where, *told))
    return hashlib.blake2b(whole, digest_size=16).hexdigest()
