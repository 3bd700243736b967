"""From Discord's objects to a message or an event. Pure.

Guarantees: ids are Discord's; what a message mentions is shown by name, as people see it.

Source: https://docs.discord.com/developers/resources/message
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from portico.channels.discord.cursor import time_of
from portico.channels.discord.places import Place
from portico.channels.model import Attachment, ChannelEvent, EventKind, InboundMessage, Peer

Raw = Mapping[str, Any]
WRITTEN = frozenset({0, 19, 20, 23})
"""Types of messages that people write: plain ones, replies, and what commands show."""
USER_JOINED = 7
MEMBERS = frozenset({"GUILD_MEMBER_ADD", "GUILD_MEMBER_REMOVE"})
_MENTION = re.compile(r"<(@[!&]?|#)(\d{1,20})>")
_EMOJI = re.compile(r"<a?(:\w{1,32}:)\d{1,20}>")


@dataclass(frozen=True, slots=True)
class Where:
    """The conversation of a message.

    Attributes:
        place: the channel or thread; `None` in a direct message.
        own_roles: the bot's roles in the server.
    """

    channel_id: str
    bot_id: str
    guild_id: str | None = None
    place: Place | None = None
    own_roles: frozenset[str] = frozenset()
    roles: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    def peer(self, sender: str) -> Peer:
        """Return the conversation; a direct one goes by the person."""
        if self.guild_id is None:
            return Peer("direct", sender)
        return Peer("channel", self.channel_id)

    @property
    def parent(self) -> Peer | None:
        """The channel a thread belongs to."""
        if self.place is None or not self.place.is_thread or self.place.parent_id is None:
            return None
        return Peer("channel", self.place.parent_id)


def inbound(raw: Raw, where: Where, *, files: Sequence[Attachment]) -> InboundMessage:
    """Return a message as the gateway takes it."""
    sender, message_id = str(raw["author"]["id"]), str(raw["id"])
    reference = raw.get("message_reference") or {}
    replied = reference.get("message_id") if raw.get("type") == 19 else None
    return InboundMessage(
        channel="",
        account="",
        event_key=f"message:{where.channel_id}:{message_id}",
        peer=where.peer(sender),
        sender=sender,
        sender_name=name_of(raw["author"], raw.get("member")),
        text=text_of(raw, where.names),
        attachments=tuple(files),
        mentioned=None if where.guild_id is None else is_addressed(raw, where),
        reply_context={"channelId": where.channel_id, "messageId": message_id},
        parent_peer=where.parent,
        guild_id=where.guild_id,
        roles=where.roles,
        external_id=message_id,
        reply_to=str(replied) if replied else None,
        sent_at_ms=time_of(int(message_id)),
    )


def asked(raw: Raw, where: Where, *, text: str) -> InboundMessage:
    """Return what somebody asked with a slash command."""
    user, member = user_of(raw)
    interaction_id = str(raw["id"])
    return InboundMessage(
        channel="",
        account="",
        event_key=f"interaction:{interaction_id}",
        peer=where.peer(str(user["id"])),
        sender=str(user["id"]),
        sender_name=name_of(user, member),
        text=text,
        mentioned=None if where.guild_id is None else True,
        reply_context={"channelId": where.channel_id, "interactionId": interaction_id},
        parent_peer=where.parent,
        guild_id=where.guild_id,
        roles=where.roles,
        sent_at_ms=time_of(int(interaction_id)),
    )


def user_of(interaction: Raw) -> tuple[Raw, Raw | None]:
    """Return who used a command, and as whom in the server."""
    member = interaction.get("member")
    return (member["user"] if member else interaction["user"]), member


def name_of(user: Raw, member: Raw | None) -> str | None:
    """Return a person's name as it is shown."""
    nick = (member or {}).get("nick")
    return nick or user.get("global_name") or user.get("username")


def is_addressed(raw: Raw, where: Where) -> bool:
    """Whether a message in a server is meant for the bot."""
    if any(str(user.get("id")) == where.bot_id for user in raw.get("mentions", ())):
        return True
    if where.own_roles & set(map(str, raw.get("mention_roles", ()))):
        return True
    replied = raw.get("referenced_message") or {}
    return str((replied.get("author") or {}).get("id")) == where.bot_id


def text_of(raw: Raw, names: Mapping[str, str] | None = None) -> str:
    """Return what a message says."""
    known = {f"@{user['id']}": f"@{name_of(user, user.get('member'))}" for user in _mentioned(raw)}
    known |= names or {}

    def named(match: re.Match[str]) -> str:
        sign = "@" if match[1] == "@!" else match[1]
        return known.get(f"{sign}{match[2]}", match[0])

    said = [_EMOJI.sub(r"\1", _MENTION.sub(named, str(raw.get("content") or "")))]
    said += [f"[sticker {item.get('name')}]" for item in raw.get("sticker_items", ())]
    if (poll := raw.get("poll")) is not None:
        said.append(_poll(poll))
    for snapshot in raw.get("message_snapshots", ()):
        said.append(f"[forwarded] {text_of(snapshot.get('message') or {})}".rstrip())
    return "\n".join(filter(None, said))


def _mentioned(raw: Raw) -> Sequence[Raw]:
    return [user for user in raw.get("mentions", ()) if "id" in user]


def _poll(poll: Raw) -> str:
    question = (poll.get("question") or {}).get("text")
    answers = [(one.get("poll_media") or {}).get("text") for one in poll.get("answers", ())]
    return f"[poll {question}: {', '.join(map(str, answers))}]"


def event(name: str, raw: Raw, *, key: str) -> ChannelEvent:
    """Return what is no message, as it is recorded.

    Args:
        key: for events that have no id of their own.
    """
    build = _EVENTS.get(name, _untitled)
    return build(name, raw, key) or unknown(name, raw, key=key)


def unknown(name: str, raw: Any, *, key: str) -> ChannelEvent:
    """Return an event nobody understands, as it came, but for the token of an interaction."""
    if isinstance(raw, Mapping):
        raw = {field: value for field, value in raw.items() if field != "token"}
    return ChannelEvent(event_key=key, kind="other", data={"event": name, "data": raw})


def missed(channel_id: str, *, key: str, why: str) -> ChannelEvent:
    """Return that there were messages which are not fetched."""
    data = {"event": "messages not fetched", "channelId": channel_id, "why": why}
    return ChannelEvent(event_key=key, kind="other", data=data)


def _untitled(_name: str, _raw: Raw, _key: str) -> ChannelEvent | None:
    return None


def _edited(_name: str, raw: Raw, _key: str) -> ChannelEvent | None:
    if not raw.get("edited_timestamp"):  # only its preview of a link has come
        return None
    when = int(datetime.fromisoformat(str(raw["edited_timestamp"])).timestamp() * 1000)
    key = f"edit:{raw['channel_id']}:{raw['id']}:{when}"
    return _event(key, "edit", raw, raw["id"], {"text": text_of(raw)})


def _deleted(_name: str, raw: Raw, _key: str) -> ChannelEvent:
    return _event(f"delete:{raw['channel_id']}:{raw['id']}", "delete", raw, raw["id"])


def _reacted(name: str, raw: Raw, key: str) -> ChannelEvent:
    emoji = raw.get("emoji") or {}
    data = {"emoji": emoji.get("name"), "removed": name.endswith("REMOVE")}
    return _event(key, "reaction", raw, raw["message_id"], data)


def _voted(name: str, raw: Raw, key: str) -> ChannelEvent:
    data = {"options": [raw["answer_id"]], "removed": name.endswith("REMOVE")}
    return _event(key, "poll_answer", raw, raw["message_id"], data)


def _came_or_went(name: str, raw: Raw, key: str) -> ChannelEvent:
    user = raw["user"]
    people = [{"id": str(user["id"]), "name": name_of(user, raw)}]
    data = {"users": people, "guildId": str(raw["guild_id"])}
    kind: EventKind = "join" if name.endswith("ADD") else "leave"
    return ChannelEvent(event_key=key, kind=kind, sender=str(user["id"]), data=data)


def _put_out(_name: str, raw: Raw, key: str) -> ChannelEvent:
    return ChannelEvent(event_key=key, kind="leave", data={"guildId": str(raw["id"])})


def _welcomed(_name: str, raw: Raw, key: str) -> ChannelEvent | None:
    if raw.get("type") != USER_JOINED:
        return None
    author = raw["author"]
    people = [{"id": str(author["id"]), "name": name_of(author, raw.get("member"))}]
    return _event(key, "join", raw, raw["id"], {"users": people})


def _pressed(_name: str, raw: Raw, _key: str) -> ChannelEvent:
    user, _ = user_of(raw)
    data = raw.get("data") or {}
    return ChannelEvent(
        event_key=f"interaction:{raw['id']}",
        kind="action",
        sender=str(user["id"]),
        target_id=str((raw.get("message") or {}).get("id") or "") or None,
        data={name: data[name] for name in ("custom_id", "name", "values") if name in data},
    )


def _event(
    key: str, kind: EventKind, raw: Raw, target: Any, data: dict[str, Any] | None = None
) -> ChannelEvent:
    sender = raw.get("user_id") or (raw.get("author") or {}).get("id")
    is_direct = not raw.get("guild_id")
    peer_id = sender if is_direct else raw["channel_id"]
    return ChannelEvent(
        event_key=key,
        kind=kind,
        peer=Peer("direct" if is_direct else "channel", str(peer_id)) if peer_id else None,
        sender=str(sender) if sender else None,
        target_id=str(target),
        data={**(data or {}), "channelId": str(raw["channel_id"])},
    )


_EVENTS: dict[str, Callable[[str, Raw, str], ChannelEvent | None]] = {
    "MESSAGE_UPDATE": _edited,
    "MESSAGE_DELETE": _deleted,
    "MESSAGE_REACTION_ADD": _reacted,
    "MESSAGE_REACTION_REMOVE": _reacted,
    "MESSAGE_POLL_VOTE_ADD": _voted,
    "MESSAGE_POLL_VOTE_REMOVE": _voted,
    "GUILD_MEMBER_ADD": _came_or_went,
    "GUILD_MEMBER_REMOVE": _came_or_went,
    "GUILD_DELETE": _put_out,
    "INTERACTION_CREATE": _pressed,
    "MESSAGE_CREATE": _welcomed,
}
