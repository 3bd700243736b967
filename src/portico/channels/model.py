"""What comes in through a channel and where answers go: shapes shared by the whole message path."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from portico.channels.base64 import decoded
from portico.filetypes import kind_of

PeerKind = Literal["direct", "group", "channel"]
QueueMode = Literal["followup", "collect", "steer", "interrupt"]
"""What happens to a message while its session is busy."""
DropPolicy = Literal["summarize", "old", "new"]
"""What gives way when a lane is full."""


class Peer(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The other side of a conversation: a person, a group or a room."""

    kind: PeerKind
    id: str


class ReplyRoute(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Exactly where the answer to a message goes. Frozen when the message is routed.

    Attributes:
        context: what the channel needs to answer this very message (a reply token, a thread
            reference); opaque to everyone else.
        within: what the conversation is a part of, the nearest first: a thread's channel, a
            server. Rules may be written for these.
    """

    channel: str
    account: str
    peer: Peer
    thread_id: str | None = None
    context: dict[str, Any] = msgspec.field(default_factory=dict)
    within: tuple[str, ...] = ()

    @property
    def conversation(self) -> str:
        """The unit within which deliveries keep their order."""
        parts = (self.channel, self.account, self.peer.kind, self.peer.id, self.thread_id or "")
        return msgspec.json.encode(parts).decode()


class Attachment(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A file, image or sound that belongs to a message.

    A door hands it in with its bytes. Once the message is accepted they lie in the store of media,
    and `sha256` names them; a turn reads them with `Turn.load`.

    Attributes:
        mime_type: what the sender calls it; of an accepted one, what its bytes are.
        claimed_type: what the sender called it, where that is something else.
        content: its bytes in base64, where they travel with it.
        data: its bytes, where they are at hand.
        sha256: the hash of its bytes, by which they are kept.
        note: why there are no bytes, or what went wrong with them; fit for the person.
        transcript: what is said in a sound.
    """

    type: str = "file"
    mime_type: str | None = None
    file_name: str | None = None
    content: str | None = None
    url: str | None = None
    size_bytes: int | None = None
    data: bytes | None = None
    sha256: str | None = None
    claimed_type: str | None = None
    note: str | None = None
    transcript: str | None = None

    @classmethod
    def of(
        cls,
        content: bytes,
        *,
        type: str | None = None,  # noqa: A002  # the wire's name
        mime_type: str | None = None,
        file_name: str | None = None,
    ) -> Attachment:
        """Return a file with its content, as a channel hands it in.

        Args:
            type: image, audio, video or file; `None`: as the MIME type says.
            mime_type, file_name: what the provider calls it; neither is trusted.
        """
        return cls(
            type=type or kind_of(mime_type or ""),
            mime_type=mime_type,
            file_name=file_name,
            data=content,
            size_bytes=len(content),
        )

    @property
    def has_bytes(self) -> bool:
        """Whether its bytes travel with it."""
        return self.data is not None or bool(self.content)

    def read(self) -> bytes | None:
        """Return the bytes that travel with it; `None`: there are none, or they are damaged."""
        if self.data is not None or not self.content:
            return self.data
        try:
            return b"".join(decoded(self.content))
        except ValueError:
            return None


class Poll(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A question to vote on.

    Attributes:
        duration_s: how long it is open; `None`: until the provider closes it.
    """

    question: str
    options: tuple[str, ...]
    max_selections: int = 1
    duration_s: int | None = None
    is_anonymous: bool = False


class InboundMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message as a door hands it in, before anything is decided about it.

    Attributes:
        event_key: the provider's id of the event, or the client's idempotency key. The same
            (channel, account, event_key) is never processed twice.
        session_key: a canonical key when the caller chose the session; else it is derived.
        parts: structured content (images, files …) in the runtime's vocabulary.
        mentioned: whether the assistant was addressed; `None`: the channel cannot tell.
        parent_peer: the conversation a thread belongs to, where threads have ids of their own.
        guild_id, team_id, roles: the server or workspace it was said in, and what the sender is
            there; bindings may ask for them.
        external_id: the provider's id of the message, when it differs from the event's: what an
            answer, an edit or a reaction refers to.
        reply_to: the `external_id` of the message it answers.
        sent_at_ms: when the provider says it was written.
        answer_to: where the answer goes, when that is not where the message came from.
    """

    channel: str
    account: str
    event_key: str
    peer: Peer
    sender: str
    text: str
    thread_id: str | None = None
    sender_name: str | None = None
    parts: tuple[dict[str, Any], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    mentioned: bool | None = None
    reply_context: dict[str, Any] = msgspec.field(default_factory=dict)
    session_key: str | None = None
    agent_id: str | None = None
    trace_id: str | None = None
    is_untrusted: bool | None = None
    parent_peer: Peer | None = None
    guild_id: str | None = None
    team_id: str | None = None
    roles: tuple[str, ...] = ()
    external_id: str | None = None
    reply_to: str | None = None
    sent_at_ms: int | None = None
    answer_to: ReplyRoute | None = None

    @property
    def reply_route(self) -> ReplyRoute:
        """Where an answer to it goes."""
        if self.answer_to is not None:
            return self.answer_to
        parent = self.parent_peer.id if self.parent_peer is not None else None
        return ReplyRoute(
            channel=self.channel,
            account=self.account,
            peer=self.peer,
            thread_id=self.thread_id,
            context=self.reply_context,
            within=tuple(place for place in (parent, self.guild_id) if place),
        )


EventKind = Literal[
    "edit",
    "delete",
    "reaction",
    "join",
    "leave",
    "read",
    "bounce",
    "poll_answer",
    "call",
    "action",
    "other",
]


class ChannelEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a provider tells that is no message to the agent. Recorded, never dropped.

    Attributes:
        event_key: the provider's id of the event; the same is recorded once.
        target_id: the message it is about.
        data: of a `bounce`: `deliveryId`, when it is known, `hasFailed` and a `reason`. Of others
            the rest, as far as it matters: the emoji, the new text, or the whole payload when
            the channel does not understand it (kind `other`).
    """

    event_key: str
    kind: EventKind
    peer: Peer | None = None
    thread_id: str | None = None
    sender: str | None = None
    target_id: str | None = None
    data: dict[str, Any] = msgspec.field(default_factory=dict)
