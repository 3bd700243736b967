"""Files of messages as runtimes handle them: found, loaded, and put into words where need be.

Guarantees: what cannot be shown becomes one line of a fixed form, `[image photo.jpg, 120 KB; the
model cannot see pictures]`; what was said in a sound becomes text that says where it is from; a
name that somebody chose stays within its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portico.agents.runtime import HistoryMessage, Turn, TurnRequest
from portico.channels.model import Attachment
from portico.filetypes import HEAD_BYTES, kind_of, verified

MAX_NAME = 120
MOST_EARLIER = 8
"""How many files of earlier messages are shown again, the newest first."""
MOST_BYTES = 30_000_000
"""How many bytes a turn holds of them."""
NOT_KEPT = "no longer kept"
_ODD = re.compile(r"[\x00-\x1f\x7f<>\"\[\]\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_BLIND = {
    "image": "the model cannot see pictures",
    "audio": "the model cannot hear sounds",
    "video": "the model cannot watch videos",
    "pdf": "the model cannot read PDF",
}


@dataclass(frozen=True, slots=True)
class GivenFile:
    """A file of a message, from an attachment or a content part.

    Attributes:
        mime_type: what it is said to be; what it is, once its bytes are looked at.
    """

    kind: str
    name: str | None = None
    mime_type: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    url: str | None = None
    note: str | None = None
    transcript: str | None = None
    content: bytes | None = None

    @classmethod
    def attached(cls, given: Attachment) -> GivenFile:
        """Return an attachment; its bytes where they travel with it."""
        content = given.read()
        return cls(
            kind=given.type,
            name=given.file_name,
            mime_type=given.mime_type,
            size_bytes=given.size_bytes,
            sha256=given.sha256,
            url=given.url,
            note="damaged" if given.has_bytes and content is None else given.note,
            transcript=given.transcript,
            content=content,
        )

    @classmethod
    def part(cls, part: Mapping[str, Any]) -> GivenFile:
        """Return a content part that is a file."""
        kind = str(part.get("type"))
        data = part.get("data")
        inline = Attachment(content=data) if isinstance(data, str) and data else None
        content = None if inline is None else inline.read()
        size = part.get("sizeBytes")
        return cls(
            kind=kind,
            name=_text(part, "fileName", "filename", "name"),
            mime_type=_type_of(kind, part),
            size_bytes=size if isinstance(size, int) else None,
            sha256=_text(part, "sha256"),
            url=_text(part, "url"),
            note="damaged" if inline is not None and content is None else _text(part, "note"),
            transcript=_text(part, "transcript"),
            content=content,
        )

    @property
    def label(self) -> str:
        """Its name, fit to stand in a line of ours."""
        return _ODD.sub(" ", self.name or "").strip()[:MAX_NAME]

    def bytes_in(self, files: Mapping[str, bytes]) -> bytes | None:
        """Return its bytes: its own, or those that were loaded."""
        return self.content if self.sha256 is None else files.get(self.sha256, self.content)

    def true_type(self, content: bytes) -> str:
        """Return what it is by its bytes."""
        return verified(content[:HEAD_BYTES], self.mime_type)

    def described(self, why: str) -> str:
        """Return it in words."""
        kind = self.kind if self.kind in {"audio", "file", "image", "video", "voice"} else "file"
        size = f", {shown_size(self.size_bytes)}" if self.size_bytes is not None else ""
        name = f" {self.label}" if self.label else ""
        return f"[{kind}{name}{size}; {self.note or why}]"

    def heard(self) -> str:
        """Return what is said in it, and that it was heard, not read."""
        return f"{self.described('transcribed')}\n{self.transcript}"


def has_text(parts: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the parts of a request are the whole message, in order, its text included."""
    return any(part.get("type") in {"text", "toolResult"} for part in parts)


def said(content: Any) -> str:
    """Return the text in an entry's content, what was heard in sounds included."""
    if isinstance(content, str):
        return content
    parts = [part for part in content or () if isinstance(part, dict)]
    texts = (
        GivenFile.part(part).heard() if part.get("transcript") else _text(part, "text")
        for part in parts
        if part.get("type") == "text" or part.get("transcript")
    )
    return "".join(filter(None, texts))


def cannot(family: str) -> str:
    """Return why a model is not given a file of a kind."""
    return _BLIND.get(family, "the model cannot read such files")


def shown_size(size_bytes: int) -> str:
    """Return a size as people read it."""
    if size_bytes < 1_000:
        return f"{size_bytes} bytes"
    if size_bytes < 1_000_000:
        return f"{round(size_bytes / 1_000)} KB"
    return f"{size_bytes / 1_000_000:.1f} MB"


async def loaded(
    turn: Turn, request: TurnRequest, earlier: Sequence[HistoryMessage] = ()
) -> dict[str, bytes]:
    """Return the bytes of the files of a message, and of the newest of those before it, by hash."""
    found: dict[str, bytes] = {}
    left = MOST_BYTES
    asked = [*_hashes_of(request)]
    before = [sha256 for entry in reversed(earlier) for sha256 in _hashes_in(entry.content)]
    for sha256 in [*asked, *before[:MOST_EARLIER]]:
        if sha256 in found or left <= 0:
            continue
        content = await turn.file(sha256)
        if content is not None:
            found[sha256] = content
            left -= len(content)
    return found


def _hashes_of(request: TurnRequest) -> Iterable[str]:
    for attachment in request.attachments:
        if attachment.sha256 is not None and attachment.transcript is None:
            yield attachment.sha256
    yield from _hashes_in([*request.parts])


def _hashes_in(content: Any) -> Iterable[str]:
    for part in content if isinstance(content, list | tuple) else ():
        is_kept = isinstance(part, dict) and isinstance(part.get("sha256"), str)
        if is_kept and part.get("transcript") is None:
            yield part["sha256"]


def _text(part: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        value = part.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def _type_of(kind: str, part: Mapping[str, Any]) -> str | None:
    given = _text(part, "mime_type", "mimeType", "format")
    if given is None or "/" in given:
        return given
    return {"wav": "audio/wav", "mp3": "audio/mpeg"}.get(given, f"{kind}/{given}")


def family_of(mime_type: str) -> str:
    """Return what a model must be able to take for a file of a type."""
    if mime_type == "application/pdf":
        return "pdf"
    kind = kind_of(mime_type)
    return kind if kind != "file" else mime_type.partition("/")[0]
