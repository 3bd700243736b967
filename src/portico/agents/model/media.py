"""Pictures, sounds and files of a message, in the shapes models take.

Guarantees: what a model does not take becomes a line of text that says so; text files become text.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from pydantic_ai.messages import BinaryContent, ImageUrl, UserContent

from portico.agents.model.catalog import Choice
from portico.channels.model import Attachment

MAX_TEXT_CHARS = 100_000
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/yaml")
_AUDIO = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_DOCUMENT_APIS = frozenset({"anthropic-messages", "google-generative-ai", "openai-responses"})


def user_content(part: dict[str, Any], choice: Choice) -> UserContent | None:
    """Return a content part of a message as the model gets it."""
    kind = str(part.get("type"))
    if kind == "text":
        return str(part.get("text") or "") or None
    url, data = part.get("url"), part.get("data")
    if kind == "image" and isinstance(url, str) and takes(choice, "image"):
        return ImageUrl(url)
    name = str(part.get("filename") or part.get("fileName") or kind)
    if not isinstance(data, str):
        return f"[{kind} {name}: not shown]"
    return _binary(data, _media_type(kind, part), name, choice)


def attached(attachment: Attachment, choice: Choice) -> UserContent:
    """Return an attachment as the model gets it."""
    kind = attachment.type
    name = attachment.file_name or kind
    if attachment.content:
        default = "image/png" if kind == "image" else "application/octet-stream"
        return _binary(attachment.content, attachment.mime_type or default, name, choice)
    if attachment.url and kind == "image" and takes(choice, "image"):
        return ImageUrl(attachment.url)
    return f"[{kind} {name}: not shown]"


def takes(choice: Choice, kind: str) -> bool:
    """Whether a model takes images, sounds or documents; undeclared, images are tried."""
    declared = choice.model.inputs
    if declared is not None:
        return kind in declared
    return kind == "image" or (kind == "pdf" and choice.provider.api in _DOCUMENT_APIS)


def _binary(data: str, media_type: str, name: str, choice: Choice) -> UserContent:
    try:
        content = base64.b64decode(data)
    except (binascii.Error, ValueError):
        return f"[{name}: damaged]"
    if media_type.startswith(_TEXT_TYPES):
        text = content.decode(errors="replace")[:MAX_TEXT_CHARS]
        return f'<file name="{name}">\n{text}\n</file>'
    family = "pdf" if media_type == "application/pdf" else media_type.partition("/")[0]
    if not takes(choice, family):
        return f"[{name}: {media_type}, which {choice.name} does not take]"
    return BinaryContent(content, media_type=media_type)


def _media_type(kind: str, part: dict[str, Any]) -> str:
    given = part.get("mime_type") or part.get("mimeType") or part.get("format")
    if not isinstance(given, str):
        return "image/png" if kind == "image" else "application/octet-stream"
    if "/" in given:
        return given
    return _AUDIO.get(given, f"audio/{given}") if kind == "audio" else f"{kind}/{given}"
