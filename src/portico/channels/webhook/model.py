"""The JSON both sides speak."""

from __future__ import annotations

from typing import Any

import msgspec

from portico.channels.model import PeerKind


class Person(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who wrote. `id` is stable: allowlists hold it."""

    id: str
    name: str | None = None


class Conversation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where it was written."""

    id: str
    kind: PeerKind = "direct"


class File(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A file: its content in base64, or where it is."""

    type: str = "file"
    mime_type: str | None = None
    file_name: str | None = None
    content: str | None = None
    url: str | None = None


class Posted(msgspec.Struct, frozen=True, rename="camel"):
    """What a partner posts.

    Attributes:
        type: `message`; anything else is recorded as an event.
        sender: `{id, name?}`, on the wire `from`.
        conversation: where answers go; `None`: directly to the sender.
        mentioned: in a group, whether the assistant is addressed.
        message_id: the partner's own id of the message; answers carry it as `replyTo`.
    """

    type: str = "message"
    sender: Person | None = msgspec.field(default=None, name="from")
    text: str = ""
    conversation: Conversation | None = None
    thread: str | None = None
    attachments: tuple[File, ...] = ()
    mentioned: bool | None = None
    message_id: str | None = None
    reply_to: str | None = None
    sent_at: int | None = None
    data: dict[str, Any] = msgspec.field(default_factory=dict)


class Posting(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What is posted to a partner. The same `id` again is the same message.

    Attributes:
        reply_to: the partner's id of the message this answers.
    """

    id: str
    type: str
    account: str
    to: Conversation | None = None
    thread: str | None = None
    text: str | None = None
    media: tuple[str, ...] = ()
    reply_to: str | None = None
    run_id: str | None = None


class Taken(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a partner is answered.

    Attributes:
        status: admitted (it will be answered), context (kept, not answered), refused, recorded
            (an event), or duplicate.
    """

    status: str
    reason: str | None = None
    run_id: str | None = None
