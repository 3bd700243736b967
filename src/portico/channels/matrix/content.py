"""What is put into events that go out. Pure.

Source: https://spec.matrix.org/latest/client-server-api/#mroommessage; rich replies, threading,
    event replacements, user and room mentions: the modules of these names; polls: MSC3381.
"""

from __future__ import annotations

import struct
from typing import Any

from portico.channels.contract import OutgoingPoll
from portico.channels.matrix.files import VOICE
from portico.channels.matrix.inbound import EVENT
from portico.channels.matrix.markup import mentioned, to_html
from portico.channels.media import OutgoingFile
from portico.channels.model import ReplyRoute

POLL = "org.matrix.msc3381.poll.start"
"""The name programs know today; `m.poll.start` is read, too."""
FALLBACK_CHARS = 500
_VOICES = frozenset({"audio/ogg", "audio/opus"})


def text_content(text: str, *, is_formatted: bool = True) -> dict[str, Any]:
    """Return a text."""
    content: dict[str, Any] = {"msgtype": "m.text", "body": text}
    markup = to_html(text) if is_formatted else None
    if markup is not None:
        content |= {"format": "org.matrix.custom.html", "formatted_body": markup}
    people = mentioned(text)
    content["m.mentions"] = {"user_ids": people} if people else {}
    return content


def edited(event_id: str, fresh: dict[str, Any]) -> dict[str, Any]:
    """Return new content for an event; programs that know no edits see its beginning."""
    return {
        "msgtype": fresh["msgtype"],
        "body": f"* {fresh['body'][:FALLBACK_CHARS]}",
        "m.mentions": {},
        "m.new_content": fresh,
        "m.relates_to": {"rel_type": "m.replace", "event_id": event_id},
    }


def relation(route: ReplyRoute, *, quotes: bool) -> dict[str, Any]:
    """Return what ties an answer to its thread and its question; empty: nothing does."""
    answered = route.context.get(EVENT) or route.context.get("replyToId")
    asked = route.context.get("replyToId")
    if route.thread_id is not None:
        shown = str(asked or answered or route.thread_id)
        return {
            "rel_type": "m.thread",
            "event_id": route.thread_id,
            "is_falling_back": asked is None and not quotes,
            "m.in_reply_to": {"event_id": shown},
        }
    if answered is not None and (quotes or asked is not None):
        return {"m.in_reply_to": {"event_id": str(asked or answered)}}
    return {}


def file_content(file: OutgoingFile, *, mxc: str, secret: dict[str, Any] | None) -> dict[str, Any]:
    """Return a file that was uploaded."""
    info: dict[str, Any] = {"mimetype": file.mime_type, "size": len(file.content)}
    if file.kind == "image" and (size := image_size(file.content)) is not None:
        info |= {"w": size[0], "h": size[1]}
    content: dict[str, Any] = {
        "msgtype": f"m.{file.kind}",
        "body": file.name,
        "filename": file.name,
        "info": info,
        "m.mentions": {},
    }
    if file.mime_type in _VOICES:
        content |= {VOICE: {}, "org.matrix.msc1767.audio": {}}
    if secret is None:
        return {**content, "url": mxc}
    return {**content, "file": {**secret, "url": mxc}}


def poll_content(poll: OutgoingPoll) -> dict[str, Any]:
    """Return a poll; programs that know none see it as text."""
    lines = [f"{number}. {option}" for number, option in enumerate(poll.options, 1)]
    answers = [
        {"id": str(number), "org.matrix.msc1767.text": option}
        for number, option in enumerate(poll.options, 1)
    ]
    start = {
        "question": {"org.matrix.msc1767.text": poll.question, "body": poll.question},
        "kind": "org.matrix.msc3381.poll.disclosed",
        "max_selections": poll.max_selections,
        "answers": answers,
    }
    text = "\n".join([poll.question, *lines])
    return {POLL: start, "org.matrix.msc1767.text": text, "body": text, "msgtype": "m.text"}


def image_size(content: bytes) -> tuple[int, int] | None:
    """Return the width and height a PNG or GIF states in its head."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR":
        width, height = struct.unpack(">II", content[16:24].ljust(8, b"\0"))
        return int(width), int(height)
    if content[:6] in {b"GIF87a", b"GIF89a"}:
        width, height = struct.unpack("<HH", content[6:10].ljust(4, b"\0"))
        return int(width), int(height)
    return None
