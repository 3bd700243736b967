"""From an update of the Bot API to a message or an event. Pure, but for what files hold.

Guarantees: every update becomes one or the other; none is dropped, however odd.

Source: https://core.telegram.org/bots/api#update
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from telegram import Message, Update, User
from telegram.constants import ChatType

from portico.channels.model import ChannelEvent, InboundMessage, Peer, PeerKind

_COMMAND = re.compile(r"(/\w+)@(\w+)")
_KINDS: dict[str, PeerKind] = {ChatType.PRIVATE: "direct", ChatType.CHANNEL: "channel"}


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message, or the parts of an album, that is to be taken in.

    Attributes:
        messages: more than one for an album.
        next_offset: what confirms it.
    """

    messages: tuple[Message, ...]
    next_offset: int

    @property
    def album(self) -> str | None:
        """The album's id."""
        return self.messages[0].media_group_id


def said_in(update: Update, *, bot: User) -> Message | None:
    """Return an update's message, when it is one that somebody wrote, and not to another bot."""
    message = update.message or update.channel_post
    if message is None or not _has_content(message) or _addressee(message, bot) == "other":
        return None
    return message


def inbound(incoming: Incoming, *, bot: User, files: Sequence[Any]) -> InboundMessage:
    """Return a message as the gateway takes it.

    Args:
        files: its attachments, in order.
    """
    message = incoming.messages[0]
    text = "\n".join(filter(None, (_text(m) for m in incoming.messages)))
    if _addressee(message, bot) == "bot":
        text = _COMMAND.sub(r"\1", text, count=1)
    sender, name = _sender(message)
    reply = message.reply_to_message
    return InboundMessage(
        channel="",
        account="",
        event_key=f"message:{message.chat_id}:{message.message_id}",
        peer=peer_of(message),
        sender=sender,
        sender_name=name,
        text=text,
        thread_id=_thread(message),
        attachments=tuple(files),
        mentioned=_is_addressed(message, bot),
        reply_context={"messageId": message.message_id},
        external_id=str(message.message_id),
        reply_to=str(reply.message_id) if reply is not None else None,
        sent_at_ms=int(message.date.timestamp() * 1000),
    )


def peer_of(message: Message) -> Peer:
    """Return the conversation."""
    return Peer(_KINDS.get(message.chat.type, "group"), str(message.chat_id))


def event(update: Update, raw: dict[str, Any]) -> ChannelEvent:
    """Return what is no message, as it is recorded."""
    edited = update.edited_message or update.edited_channel_post
    if edited is not None:
        when = int((edited.edit_date or edited.date).timestamp())
        return ChannelEvent(
            event_key=f"edit:{edited.chat_id}:{edited.message_id}:{when}:{update.update_id}",
            kind="edit",
            peer=peer_of(edited),
            thread_id=_thread(edited),
            sender=_sender(edited)[0],
            target_id=str(edited.message_id),
            data={"text": _text(edited)},
        )
    if (reaction := update.message_reaction) is not None:
        who = reaction.user or reaction.actor_chat
        return ChannelEvent(
            event_key=f"update:{update.update_id}",
            kind="reaction",
            peer=Peer(_KINDS.get(reaction.chat.type, "group"), str(reaction.chat.id)),
            sender=str(who.id) if who else None,
            target_id=str(reaction.message_id),
            data={"emoji": [getattr(r, "emoji", None) for r in reaction.new_reaction]},
        )
    if (query := update.callback_query) is not None:
        return ChannelEvent(
            event_key=f"update:{update.update_id}",
            kind="action",
            sender=str(query.from_user.id),
            target_id=str(query.message.message_id) if query.message else None,
            data={"data": query.data},
        )
    if (vote := update.poll_answer) is not None:
        return ChannelEvent(
            event_key=f"update:{update.update_id}",
            kind="poll_answer",
            sender=str(vote.user.id) if vote.user else None,
            target_id=vote.poll_id,
            data={"options": list(vote.option_ids)},
        )
    return _service_event(update, raw)


def _service_event(update: Update, raw: dict[str, Any]) -> ChannelEvent:
    message = update.message or update.channel_post
    key = f"update:{update.update_id}"
    if message is None:
        return unknown(update.update_id, raw)
    where: dict[str, Any] = {"peer": peer_of(message), "thread_id": _thread(message)}
    if message.new_chat_members:
        people = [{"id": str(u.id), "name": u.full_name} for u in message.new_chat_members]
        return ChannelEvent(event_key=key, kind="join", data={"users": people}, **where)
    if (left := message.left_chat_member) is not None:
        data = {"users": [{"id": str(left.id), "name": left.full_name}]}
        return ChannelEvent(event_key=key, kind="leave", data=data, **where)
    return ChannelEvent(event_key=key, kind="other", data=raw, **where)


def unknown(update_id: int, raw: dict[str, Any]) -> ChannelEvent:
    """Return an update nobody understands, as it came."""
    return ChannelEvent(event_key=f"update:{update_id}", kind="other", data=raw)


def _has_content(message: Message) -> bool:
    return bool(_text(message) or message.effective_attachment)


def _text(message: Message) -> str:
    if message.text or message.caption:
        return str(message.text or message.caption)
    if (place := message.location) is not None:
        return f"[location {place.latitude}, {place.longitude}]"
    if (contact := message.contact) is not None:
        name = " ".join(filter(None, (contact.first_name, contact.last_name)))
        return f"[contact {name}, {contact.phone_number}]"
    if message.sticker is not None:
        return f"[sticker {message.sticker.emoji or ''}]".replace(" ]", "]")
    if message.dice is not None:
        return f"[{message.dice.emoji} {message.dice.value}]"
    if (poll := message.poll) is not None:
        options = ", ".join(option.text for option in poll.options)
        return f"[poll {poll.question}: {options}]"
    return ""


def _addressee(message: Message, bot: User) -> Literal["bot", "other"] | None:
    """Whose command it is, when it says so: `/status@portico_bot`."""
    found = _COMMAND.match(message.text or message.caption or "")
    if found is None:
        return None
    return "bot" if found[2].lower() == (bot.username or "").lower() else "other"


def _sender(message: Message) -> tuple[str, str | None]:
    """Return a stable id and a name; channels and anonymous admins write as a chat."""
    if message.sender_chat is not None:
        return str(message.sender_chat.id), message.sender_chat.title
    if message.from_user is not None:
        return str(message.from_user.id), message.from_user.full_name
    return str(message.chat_id), message.chat.title


def _thread(message: Message) -> str | None:
    is_topic = message.is_topic_message and message.message_thread_id is not None
    return str(message.message_thread_id) if is_topic else None


def _is_addressed(message: Message, bot: User) -> bool | None:
    """Whether a message in a group is meant for the bot."""
    if message.chat.type == ChatType.PRIVATE:
        return None
    reply = message.reply_to_message
    if reply is not None and reply.from_user is not None and reply.from_user.id == bot.id:
        return not _opens_topic(reply)
    handle = f"@{bot.username}".lower()
    found = {**message.parse_entities(), **message.parse_caption_entities()}
    for entity, text in found.items():
        if entity.type == "mention" and text.lower() == handle:
            return True
        if entity.type == "bot_command" and text.lower().endswith(handle):
            return True
        if entity.type == "text_mention" and entity.user and entity.user.id == bot.id:
            return True
    return False


def _opens_topic(message: Message) -> bool:
    """Every message of a topic is a reply to the one that opened it."""
    return message.forum_topic_created is not None
