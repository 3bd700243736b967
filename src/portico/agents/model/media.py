"""Pictures, sounds and files of a message, in the shapes models take.

Guarantees: a file is what its bytes are, whatever it is called; what a model does not take becomes
a line of text that says so; text files become text; a sound that was transcribed is its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_ai.messages import BinaryContent, ImageUrl, UserContent

from portico.agents.files import NOT_KEPT, GivenFile, cannot, family_of
from portico.agents.model.catalog import Choice
from portico.channels.model import Attachment

MAX_TEXT_CHARS = 100_000
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/yaml")
_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_SOUNDS = frozenset({"audio/wav", "audio/mpeg"})
_MORE_SOUNDS = _SOUNDS | {"audio/ogg", "audio/flac", "audio/aac", "audio/mp4", "audio/webm"}
_SOUNDS_BY_OPENAI = frozenset({"openai-completions", "ollama"})
_DOCUMENT_APIS = frozenset({"anthropic-messages", "google-generative-ai", "openai-responses"})
_NO_FILES: Mapping[str, bytes] = {}


def user_content(
    part: dict[str, Any], choice: Choice, files: Mapping[str, bytes] = _NO_FILES
) -> UserContent | None:
    """Return a content part of a message as the model gets it.

    Args:
        files: bytes by hash, of what the part may refer to.
    """
    if str(part.get("type")) == "text":
        return str(part.get("text") or "") or None
    return _given(GivenFile.part(part), choice, files)


def attached(
    attachment: Attachment, choice: Choice, files: Mapping[str, bytes] = _NO_FILES
) -> UserContent:
    """Return an attachment as the model gets it."""
    return _given(GivenFile.attached(attachment), choice, files)


def takes(choice: Choice, kind: str) -> bool:
    """Whether a model takes images, sounds or documents; undeclared, images are tried."""
    declared = choice.model.inputs
    if declared is not None:
        return kind in declared
    return kind == "image" or (kind == "pdf" and choice.provider.api in _DOCUMENT_APIS)


def _given(file: GivenFile, choice: Choice, files: Mapping[str, bytes]) -> UserContent:
    if file.transcript is not None:
        return file.heard()
    content = file.bytes_in(files)
    if content is None:
        if file.url and file.kind == "image" and takes(choice, "image"):
            return ImageUrl(file.url)
        return file.described(NOT_KEPT if file.sha256 is not None else "not shown")
    mime_type = file.true_type(content)
    if mime_type.startswith(_TEXT_TYPES):
        text = content.decode(errors="replace")[:MAX_TEXT_CHARS]
        return f'<file name="{file.label or file.kind}">\n{text}\n</file>'
    family = family_of(mime_type)
    if not takes(choice, family):
        return file.described(cannot(family))
    usual = _usual(family, choice)
    if usual is not None and mime_type not in usual:
        return file.described(f"the model cannot take {mime_type}")
    return BinaryContent(content, media_type=mime_type)


def _usual(family: str, choice: Choice) -> frozenset[str] | None:
    """Return the types of a family that models behind an API take; `None`: any."""
    if family == "audio":
        return _SOUNDS if choice.provider.api in _SOUNDS_BY_OPENAI else _MORE_SOUNDS
    return _PICTURES if family == "image" else None
