"""From what Slack tells to messages and events. Pure.

Guarantees: everything becomes one or the other, however odd; only what the app itself has said
and done is left out.

Source: https://docs.slack.dev/reference/events/message and its subtypes;
https://docs.slack.dev/interactivity/implementing-slash-commands;
https://docs.slack.dev/reference/interaction-payloads
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portico.channels.model import ChannelEvent, EventKind, Peer
from portico.channels.slack.markup import to_text

Json = Mapping[str, Any]

_SAID = frozenset({None, "file_share", "thread_broadcast", "me_message", "bot_message"})
_JOINS: dict[str, EventKind] = {
    "member_joined_channel": "join",
    "member_left_channel": "leave",
    "channel_join": "join",
    "channel_leave": "leave",
    "group_join": "join",
    "group_leave": "leave",
}


@dataclass(frozen=True, slots=True)
class Self:
    """Who the app is in its workspace."""

    user_id: str
    bot_id: str | None
    name: str
    team_id: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A message somebody wrote, before anything is looked up.

    Attributes:
        channel_type: Slack's word for the kind of conversation, when the event has it.
        thread_ts: the message that the thread is about, when it is in one.
        is_addressed: it mentions the app, or answers it.
    """

    event_key: str
    channel: str
    channel_type: str | None
    sender: str
    text: str
    ts: str | None = None
    thread_ts: str | None = None
    is_addressed: bool = False
    is_of_bot: bool = False
    sender_name: str | None = None
    team_id: str | None = None
    files: tuple[Json, ...] = ()
    raw: Json = field(default_factory=dict)


def understood(payload: Json, me: Self) -> Said | ChannelEvent | None:
    """Return what an Events API payload is; `None`: the app's own doing.

    Raises:
        KeyError, TypeError, ValueError: it cannot be understood.
    """
    event, event_id = payload["event"], str(payload["event_id"])
    kind = str(event["type"])
    if kind in {"message", "app_mention"} and event.get("subtype") in _SAID:
        return _said(payload, event, me)
    if kind == "message":
        return _changed(event, event_id, me)
    if kind in {"reaction_added", "reaction_removed"}:
        return _reaction(event, event_id, me)
    if kind in _JOINS:
        return _noted(event_id, _JOINS[kind], event, target_id=None)
    return _noted(event_id, "other", event, target_id=None)


def _said(payload: Json, event: Json, me: Self) -> Said | None:
    bot_id, user = event.get("bot_id"), event.get("user")
    if user == me.user_id or (bot_id and bot_id == me.bot_id):
        return None
    channel, ts = str(event["channel"]), str(event["ts"])
    thread_ts = event.get("thread_ts")
    float(ts)  # a message without a time is none
    text = _whole_text(event)
    mentions = f"<@{me.user_id}>" in text or f"<@{me.user_id}|" in text
    files = event.get("files") or ()
    return Said(
        event_key=f"message:{channel}:{ts}",
        channel=channel,
        channel_type=_name(event.get("channel_type")),
        sender=str(user or bot_id or event["username"]),
        text=to_text(text, own_id=me.user_id, own_name=me.name),
        ts=ts,
        thread_ts=str(thread_ts) if thread_ts and thread_ts != ts else None,
        is_addressed=mentions
        or event["type"] == "app_mention"
        or event.get("parent_user_id") == me.user_id,
        is_of_bot=bool(bot_id) or event.get("subtype") == "bot_message",
        sender_name=_name(event.get("username")),
        team_id=_name(payload.get("team_id")),
        files=tuple(file for file in files if isinstance(file, Mapping)),
        raw=event,
    )


def _whole_text(event: Json) -> str:
    """Return the text, and that of messages it forwards."""
    texts = [str(event.get("text") or "")]
    for part in event.get("attachments") or ():
        if isinstance(part, Mapping) and (part.get("is_share") or not texts[0]):
            forwarded = str(part.get("text") or part.get("fallback") or "")
            texts += [f"&gt; {line}" for line in forwarded.splitlines()]
    return "\n".join(filter(None, texts))


def _changed(event: Json, event_id: str, me: Self) -> ChannelEvent | None:
    """Return what happened to a message, or a message nobody wrote."""
    subtype = str(event["subtype"])
    now, before = event.get("message") or {}, event.get("previous_message") or {}
    if subtype == "message_changed":
        if _is_own(now, me):
            return None
        is_edit = now.get("text") != before.get("text")
        text = to_text(str(now.get("text") or ""), own_id=me.user_id, own_name=me.name)
        return ChannelEvent(
            event_key=f"event:{event_id}",
            kind="edit" if is_edit else "other",
            peer=_peer(event, now.get("user")),
            thread_id=_thread(now),
            sender=_name(now.get("user")),
            target_id=str(now["ts"]),
            data={"text": text} if is_edit else {"subtype": subtype, "ts": now["ts"]},
        )
    if subtype == "message_deleted":
        if _is_own(before, me):
            return None
        return ChannelEvent(
            event_key=f"event:{event_id}",
            kind="delete",
            peer=_peer(event, before.get("user")),
            thread_id=_thread(before),
            sender=_name(before.get("user")),
            target_id=str(event["deleted_ts"]),
        )
    return _noted(event_id, _JOINS.get(subtype, "other"), event, target_id=event.get("ts"))


def _reaction(event: Json, event_id: str, me: Self) -> ChannelEvent | None:
    if event.get("user") == me.user_id:
        return None
    item = event["item"]
    return ChannelEvent(
        event_key=f"event:{event_id}",
        kind="reaction",
        peer=_peer(item, event.get("user")),
        sender=str(event["user"]),
        target_id=str(item.get("ts") or item.get("file") or "") or None,
        data={"emoji": str(event["reaction"]), "added": event["type"] == "reaction_added"},
    )


def _noted(event_id: str, kind: EventKind, event: Json, *, target_id: Any) -> ChannelEvent:
    user = event.get("user")
    return ChannelEvent(
        event_key=f"event:{event_id}",
        kind=kind,
        peer=_peer(event, user),
        sender=_name(user),
        target_id=None if target_id is None else str(target_id),
        data=dict(event),
    )


def command(payload: Json, me: Self) -> Said | ChannelEvent:
    """Return what a slash command is: with a text a message, else an action.

    Raises:
        KeyError, TypeError: it cannot be understood.
    """
    channel, user = str(payload["channel_id"]), str(payload["user_id"])
    key = f"command:{payload['trigger_id']}"
    text = str(payload.get("text") or "").strip()
    if not text:
        data = {"type": "slash_command", "command": str(payload["command"])}
        peer = _peer({"channel": channel}, user)
        return ChannelEvent(event_key=key, kind="action", peer=peer, sender=user, data=data)
    return Said(
        event_key=key,
        channel=channel,
        channel_type="im" if payload.get("channel_name") == "directmessage" else None,
        sender=user,
        text=to_text(text, own_id=me.user_id, own_name=me.name),
        is_addressed=True,
        sender_name=_name(payload.get("user_name")),
        team_id=_name(payload.get("team_id")),
    )


def action(payload: Json) -> ChannelEvent:
    """Return what somebody did with a button, a menu, a form or a shortcut.

    Raises:
        KeyError, TypeError, AttributeError: it cannot be understood.
    """
    user = str(payload["user"]["id"])
    actions = [_action(one) for one in payload.get("actions") or ()]
    view = payload.get("view") or {}
    key = payload.get("trigger_id") or payload.get("action_ts") or digest(payload)
    where = payload.get("channel") or {}
    message = payload.get("message") or payload.get("container") or {}
    target = message.get("ts") or message.get("message_ts")
    data = {
        "type": str(payload["type"]),
        "actions": actions,
        "callbackId": payload.get("callback_id") or view.get("callback_id"),
        "values": (view.get("state") or {}).get("values"),
    }
    return ChannelEvent(
        event_key=f"action:{key}",
        kind="action",
        peer=_peer({"channel": where.get("id")}, user),
        sender=user,
        target_id=None if target is None else str(target),
        data={name: value for name, value in data.items() if value},
    )


def _action(one: Json) -> dict[str, Any]:
    chosen = one.get("selected_option") or {}
    found = {
        "actionId": one.get("action_id"),
        "blockId": one.get("block_id"),
        "type": one.get("type"),
        "value": one.get("value") or chosen.get("value"),
    }
    return {name: value for name, value in found.items() if value is not None}


def unknown(key: str, payload: Any) -> ChannelEvent:
    """Return what nobody understands, as it came."""
    return ChannelEvent(event_key=key, kind="other", data={"payload": payload})


def digest(payload: Any) -> str:
    """Return a name for something that has none: the same for the same."""
    return hashlib.blake2b(repr(payload).encode(), digest_size=12).hexdigest()


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _is_own(message: Json, me: Self) -> bool:
    bot_id = message.get("bot_id")
    return message.get("user") == me.user_id or bool(bot_id and bot_id == me.bot_id)


def _thread(message: Json) -> str | None:
    thread_ts = message.get("thread_ts")
    return str(thread_ts) if thread_ts and thread_ts != message.get("ts") else None


def _peer(where: Json, user: Any) -> Peer | None:
    channel = where.get("channel")
    if not isinstance(channel, str) or not channel:
        return None
    if channel.startswith("D"):
        return Peer("direct", user if isinstance(user, str) else channel)
    return Peer("group" if where.get("channel_type") == "mpim" else "channel", channel)
