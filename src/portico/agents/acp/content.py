"""What a turn asks, in the blocks an agent takes; and what a new session is told of a conversation.

Guarantees: what the agent does not take becomes a line of text that says so; text files become
text.

Source: Agent Client Protocol, "Content" and "Prompt turn".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from portico.agents.runtime import HistoryMessage, TurnRequest

MAX_TEXT_CHARS = 100_000
MAX_EARLIER_CHARS = 24_000
EARLIER_MESSAGES = 60
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/yaml")
_SPEAKERS = {"user": "User", "assistant": "You"}

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Takes:
    """What an agent takes besides text and links."""

    image: bool = False
    audio: bool = False
    embedded: bool = False


def prompt_of(
    request: TurnRequest, takes: Takes, *, earlier: Sequence[HistoryMessage] = ()
) -> list[Block]:
    """Return the blocks of a prompt.

    Args:
        earlier: the conversation before, when the agent's session does not know of it.
    """
    before = [_earlier(earlier), request.system_prompt, request.late_context]
    blocks = [_text(text) for text in before if text]
    is_whole = any(part.get("type") in {"text", "toolResult"} for part in request.parts)
    if request.text and not is_whole:
        blocks.append(_text(request.text))
    blocks += [_part(part, takes) for part in request.parts]
    for attachment in request.attachments:
        given = {
            "type": attachment.type,
            "name": attachment.file_name,
            "mimeType": attachment.mime_type,
            "data": attachment.content,
            "url": attachment.url,
        }
        blocks.append(_part(given, takes))
    return blocks or [_text(" ")]


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _part(part: dict[str, Any], takes: Takes) -> Block:
    kind = str(part.get("type"))
    if kind in {"text", "toolResult"}:
        return _text(str(part.get("text") or ""))
    name = str(part.get("name") or part.get("filename") or part.get("fileName") or kind)
    mime = str(part.get("mimeType") or part.get("mime_type") or _usual_type(kind))
    data, url = part.get("data"), part.get("url")
    if isinstance(data, str) and data:
        return _with_data(name, mime, data, takes)
    if isinstance(url, str) and url:
        return {"type": "resource_link", "name": name, "uri": url, "mimeType": mime}
    return _text(f"[{kind} {name}: not shown]")


def _usual_type(kind: str) -> str:
    return {"image": "image/png", "audio": "audio/wav"}.get(kind, "application/octet-stream")


def _with_data(name: str, mime: str, data: str, takes: Takes) -> Block:
    if mime.startswith("image/") and takes.image:
        return {"type": "image", "data": data, "mimeType": mime}
    if mime.startswith("audio/") and takes.audio:
        return {"type": "audio", "data": data, "mimeType": mime}
    uri = f"attachment:///{name}"
    if mime.startswith(_TEXT_TYPES):
        text = _decoded(data)
        if text is None:
            return _text(f"[{name}: damaged]")
        if not takes.embedded:
            return _text(f'<file name="{name}">\n{text}\n</file>')
        return {"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": text}}
    if takes.embedded:
        return {"type": "resource", "resource": {"uri": uri, "mimeType": mime, "blob": data}}
    return _text(f"[{name}: {mime}, which this agent does not take]")


def _decoded(data: str) -> str | None:
    try:
        return base64.b64decode(data).decode("utf-8", "replace")[:MAX_TEXT_CHARS]
    except (binascii.Error, ValueError):
        return None


def _earlier(messages: Sequence[HistoryMessage]) -> str | None:
    lines: list[str] = []
    left = MAX_EARLIER_CHARS
    for line in _lines(messages):
        left -= len(line)
        if left < 0:
            break
        lines.append(line)
    if not lines:
        return None
    return "\n\n".join(["This conversation began earlier. What was said:", *reversed(lines)])


def _lines(messages: Sequence[HistoryMessage]) -> Iterator[str]:
    for message in reversed(messages):
        speaker, text = _SPEAKERS.get(message.role), _said(message.content).strip()
        if speaker and text:
            yield f"{speaker}: {text}"


def _said(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(
        str(part.get("text") or "") for part in content or () if part.get("type") == "text"
    )
