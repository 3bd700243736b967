"""What a turn asks, in the blocks an agent takes; and what a new session is told of a conversation.

Guarantees: what the agent does not take becomes a line of text that says so; text files become
text.

Source: Agent Client Protocol, "Content" and "Prompt turn".
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portico.agents.files import NOT_KEPT, GivenFile, cannot, family_of, has_text, said
from portico.agents.runtime import HistoryMessage, TurnRequest
from portico.filetypes import UNKNOWN

MAX_TEXT_CHARS = 100_000
MAX_EARLIER_CHARS = 24_000
EARLIER_MESSAGES = 60
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/yaml")
_USUAL = {"image": "image/png", "audio": "audio/wav"}  # of what is only linked to
_SPEAKERS = {"user": "User", "assistant": "You"}

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Takes:
    """What an agent takes besides text and links."""

    image: bool = False
    audio: bool = False
    embedded: bool = False


def prompt_of(
    request: TurnRequest,
    takes: Takes,
    files: Mapping[str, bytes] | None = None,
    *,
    earlier: Sequence[HistoryMessage] = (),
) -> list[Block]:
    """Return the blocks of a prompt.

    Args:
        files: the bytes of the files the request names, by hash.
        earlier: the conversation before, when the agent's session does not know of it.
    """
    before = [_earlier(earlier), request.system_prompt, request.late_context]
    blocks = [_text(text) for text in before if text]
    parts, given = [*request.parts], [*map(GivenFile.attached, request.attachments)]
    if request.text and not has_text(parts):
        blocks.append(_text(request.text))  # with what was heard
        parts = [part for part in parts if not part.get("transcript")]
        given = [file for file in given if file.transcript is None]
    blocks += [_part(part, takes, files or {}) for part in parts]
    blocks += [_file(file, takes, files or {}) for file in given]
    return blocks or [_text(" ")]


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _part(part: dict[str, Any], takes: Takes, files: Mapping[str, bytes]) -> Block:
    if str(part.get("type")) in {"text", "toolResult"}:
        return _text(str(part.get("text") or ""))
    return _file(GivenFile.part(part), takes, files)


def _file(file: GivenFile, takes: Takes, files: Mapping[str, bytes]) -> Block:
    if file.transcript is not None:
        return _text(file.heard())
    content = file.bytes_in(files)
    if content is not None:
        return _with_bytes(file, content, takes)
    if file.url:
        mime = file.mime_type or _USUAL.get(file.kind, UNKNOWN)
        return {"type": "resource_link", "name": _name(file), "uri": file.url, "mimeType": mime}
    return _text(file.described(NOT_KEPT if file.sha256 is not None else "not shown"))


def _with_bytes(file: GivenFile, content: bytes, takes: Takes) -> Block:
    mime, name = file.true_type(content), _name(file)
    if mime.startswith("image/") and takes.image:
        return {"type": "image", "data": _encoded(content), "mimeType": mime}
    if mime.startswith("audio/") and takes.audio:
        return {"type": "audio", "data": _encoded(content), "mimeType": mime}
    uri = f"attachment:///{name}"
    if mime.startswith(_TEXT_TYPES):
        text = content.decode("utf-8", "replace")[:MAX_TEXT_CHARS]
        if not takes.embedded:
            return _text(f'<file name="{name}">\n{text}\n</file>')
        return {"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": text}}
    if takes.embedded:
        blob = _encoded(content)
        return {"type": "resource", "resource": {"uri": uri, "mimeType": mime, "blob": blob}}
    return _text(file.described(cannot(family_of(mime))))


def _name(file: GivenFile) -> str:
    return file.label or file.kind


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


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
        speaker, text = _SPEAKERS.get(message.role), said(message.content).strip()
        if speaker and text:
            yield f"{speaker}: {text}"
