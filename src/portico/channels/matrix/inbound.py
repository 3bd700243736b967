"""From an event of a room to a message or a typed event. Pure.

Guarantees: every event becomes one or the other; none is dropped, however odd. What other
programs say (`m.notice`) is an event: programs that answer each other never end.

Source: https://spec.matrix.org/latest/client-server-api/#instant-messaging; threads, replies,
    edits, reactions and mentions: the modules of these names; polls: MSC3381.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

from portico.channels.matrix.files import FileRef, file_of
from portico.channels.model import ChannelEvent, EventKind, InboundMessage, Peer

MAX_DATA_BYTES = 4096
ROOM, EVENT = "roomId", "messageId"
"""What a reply route carries."""
POLL_STARTS = frozenset({"m.poll.start", "org.matrix.msc3381.poll.start"})
_POLL_ANSWERS = frozenset({"m.poll.response", "org.matrix.msc3381.poll.response"})
_TEXTS = frozenset({"m.text", "m.emote", "m.location"})
_PILL = re.compile(r"""https://matrix\.to/#/([^"'?\s<>]+)""")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event happened, as far as reading it needs.

    Attributes:
        me: our user id.
        own: events that are ours, as far as we remember.
        threads: the setting `threadReplies`.
        name_of: how somebody is called there.
    """

    room_id: str
    is_direct: bool
    me: str
    my_name: str | None
    own: Container[str]
    threads: str
    name_of: Callable[[str], str | None]

    def peer(self, sender: str) -> Peer:
        """Return the conversation."""
        return Peer("direct", sender) if self.is_direct else Peer("group", self.room_id)


@dataclass(frozen=True, slots=True)
class Said:
    """A message, and the file that belongs to it."""

    message: InboundMessage
    file: FileRef | None = None


def read(raw: dict[str, Any], place: Place) -> Said | ChannelEvent:
    """Return what an event is.

    Raises:
        KeyError, TypeError, ValueError: it is none the specification knows; see `unknown`.
    """
    kind, content = raw["type"], raw["content"]
    if not isinstance(content, dict):
        raise TypeError("an event has a content")
    for value in (kind, raw["sender"], raw["event_id"]):
        if not isinstance(value, str) or not value:
            raise TypeError("an event has a type, a sender and an id")
    if "redacted_because" in (raw.get("unsigned") or {}):
        return _event(raw, place, "delete", target=raw["event_id"])
    if "state_key" in raw:
        return _state(raw, place)
    if kind in POLL_STARTS:
        return _said(raw, place, _poll(content, kind))
    if kind == "m.sticker":
        return _said(
            raw, place, f"[sticker {content.get('body', '')}]", file=file_of(content, kind)
        )
    if kind == "m.room.message":
        return _message(raw, place)
    return _other(raw, place)


def unknown(raw: dict[str, Any], room_id: str) -> ChannelEvent:
    """Return an event nobody understands, as it came."""
    digest = hashlib.sha256(msgspec.json.encode(raw, order="sorted")).hexdigest()[:32]
    key = raw.get("event_id")
    return ChannelEvent(
        event_key=key if isinstance(key, str) and key else f"odd:{digest}",
        kind="other",
        peer=Peer("group", room_id),
        data=_fitting(raw),
    )


def receipt(room_id: str, event_id: str, user_id: str, place: Place) -> ChannelEvent:
    """Return that somebody has read up to an event."""
    return ChannelEvent(
        event_key=f"read:{event_id}:{user_id}",
        kind="read",
        peer=place.peer(user_id),
        sender=user_id,
        target_id=event_id,
    )


def _message(raw: dict[str, Any], place: Place) -> Said | ChannelEvent:
    content = raw["content"]
    relation = _relation(content)
    if relation.get("rel_type") == "m.replace":
        fresh = content.get("m.new_content")
        text = fresh.get("body") if isinstance(fresh, dict) else content.get("body")
        target = str(relation["event_id"])
        return _event(raw, place, "edit", target=target, data={"text": str(text)})
    kind = content["msgtype"]
    file = file_of(content, kind)
    if file is not None:
        return _said(raw, place, file.caption, file=file)
    if kind not in _TEXTS:
        return _event(raw, place, "other", data=_fitting(content))
    text = content["body"]
    if not isinstance(text, str):
        raise TypeError("a body is text")
    if kind == "m.location":
        text = f"[location {text}, {content.get('geo_uri', '')}]"
    text = _without_fallback(text) if "m.in_reply_to" in relation else text
    if not text.strip():
        return _event(raw, place, "other", data=_fitting(content))
    return _said(raw, place, f"* {text}" if kind == "m.emote" else text)


def _said(raw: dict[str, Any], place: Place, text: str, *, file: FileRef | None = None) -> Said:
    content, sender, event_id = raw["content"], raw["sender"], raw["event_id"]
    relation = _relation(content)
    message = InboundMessage(
        channel="",
        account="",
        event_key=event_id,
        peer=place.peer(sender),
        sender=sender,
        sender_name=place.name_of(sender),
        text=text,
        thread_id=_thread(relation, event_id, place),
        mentioned=None if place.is_direct else _is_addressed(content, relation, place),
        reply_context={ROOM: place.room_id, EVENT: event_id},
        external_id=event_id,
        reply_to=_answered(relation),
        sent_at_ms=_time(raw),
    )
    return Said(message, file)


def _state(raw: dict[str, Any], place: Place) -> ChannelEvent:
    content = raw["content"]
    if raw["type"] != "m.room.member":
        return _event(raw, place, "other", data={"type": raw["type"], **_fitting(content)})
    before = (raw.get("unsigned") or {}).get("prev_content") or {}
    now, was = content.get("membership"), before.get("membership")
    who = {"users": [{"id": str(raw["state_key"]), "name": content.get("displayname")}]}
    if now == "join" and was != "join":
        return _event(raw, place, "join", data=who)
    if now in {"leave", "ban"}:
        return _event(raw, place, "leave", data={**who, "membership": now})
    return _event(raw, place, "other", data={"type": raw["type"], "membership": now, **who})


def _other(raw: dict[str, Any], place: Place) -> ChannelEvent:
    kind, content = raw["type"], raw["content"]
    relation = _relation(content)
    if kind == "m.reaction":
        emoji = {"emoji": str(relation["key"])}
        return _event(raw, place, "reaction", target=str(relation["event_id"]), data=emoji)
    if kind == "m.room.redaction":
        target = raw.get("redacts") or content.get("redacts")
        return _event(raw, place, "delete", target=str(target))
    if kind in _POLL_ANSWERS:
        answers = content.get("m.selections") or (
            content.get("org.matrix.msc3381.poll.response") or {}
        ).get("answers")
        target = str(relation["event_id"])
        return _event(raw, place, "poll_answer", target=target, data={"options": answers})
    if kind.startswith("m.call."):
        return _event(raw, place, "call", data={"type": kind})
    return _event(raw, place, "other", data={"type": kind, **_fitting(content)})


def _event(
    raw: dict[str, Any],
    place: Place,
    kind: EventKind,
    *,
    target: str | None = None,
    data: dict[str, Any] | None = None,
) -> ChannelEvent:
    sender = str(raw["sender"])
    relation = _relation(raw["content"])
    is_threaded = relation.get("rel_type") == "m.thread" and place.threads != "off"
    return ChannelEvent(
        event_key=str(raw["event_id"]),
        kind=kind,
        peer=place.peer(sender),
        thread_id=str(relation["event_id"]) if is_threaded else None,
        sender=sender,
        target_id=target,
        data=data or {},
    )


def _relation(content: dict[str, Any]) -> dict[str, Any]:
    found = content.get("m.relates_to")
    return found if isinstance(found, dict) else {}


def _thread(relation: dict[str, Any], event_id: str, place: Place) -> str | None:
    if place.threads == "off":
        return None
    root = relation.get("event_id") if relation.get("rel_type") == "m.thread" else None
    if isinstance(root, str):
        return root
    return event_id if place.threads == "always" and not place.is_direct else None


def _answered(relation: dict[str, Any]) -> str | None:
    """Return the event it answers; in a thread there may be one only for old programs."""
    answered = relation.get("m.in_reply_to")
    if not isinstance(answered, dict) or relation.get("is_falling_back") is True:
        return None
    found = answered.get("event_id")
    return found if isinstance(found, str) else None


def _is_addressed(content: dict[str, Any], relation: dict[str, Any], place: Place) -> bool:
    answered = _answered(relation)
    if answered is not None and answered in place.own:
        return True
    markup = content.get("formatted_body")
    if isinstance(markup, str) and place.me in _pills(markup):
        return True
    mentions = content.get("m.mentions")
    if isinstance(mentions, dict):
        people = mentions.get("user_ids")
        return isinstance(people, list) and place.me in people
    text = str(content.get("body", ""))
    names = filter(None, (place.me, place.my_name))
    return any(re.search(rf"(?i)(?<!\w){re.escape(name)}(?!\w)", text) for name in names)


def _pills(markup: str) -> set[str]:
    return {unquote(html.unescape(found)) for found in _PILL.findall(markup)}


def _without_fallback(text: str) -> str:
    """Drop the quotation that older programs put before an answer."""
    lines = text.split("\n")
    if not lines[0].startswith("> "):
        return text
    count = next((n for n, line in enumerate(lines) if not line.startswith("> ")), len(lines))
    rest = lines[count:]
    return "\n".join(rest[1:] if rest and not rest[0] else rest)


def _poll(content: dict[str, Any], kind: str) -> str:
    start = content.get("m.poll") or content[kind]
    options = [_plain(answer) for answer in start["answers"]]
    return f"[poll {_plain(start['question'])}: {', '.join(options)}]"


def _plain(block: dict[str, Any]) -> str:
    """Return the text of an extensible block, in any of its spellings."""
    for key in ("m.text", "org.matrix.msc1767.text", "body"):
        found = block.get(key)
        if isinstance(found, str):
            return found
        if isinstance(found, list) and found:
            return str(found[0]["body"])
    raise KeyError("m.text")


def _time(raw: dict[str, Any]) -> int | None:
    found = raw.get("origin_server_ts")
    return found if type(found) is int and found >= 0 else None


def _fitting(data: dict[str, Any]) -> dict[str, Any]:
    """Return data, or what of it is small enough to be kept."""
    if len(msgspec.json.encode(data)) <= MAX_DATA_BYTES:
        return data
    kept: dict[str, Any] = {k: data[k] for k in ("type", "msgtype", "sender") if k in data}
    return {**kept, "cut": True, "keys": sorted(map(str, data))[:50]}
