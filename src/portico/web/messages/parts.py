"""Content parts: from what a caller sends to what a runtime is handed.

Guarantees: parts keep their order; each has at most `MAX_PART_BYTES`; links and places become text;
sounds and files behind a URL arrive as bytes; an image's URL is checked and passed on. Errors name
the part: `content_parts[2]: unsupported content part type`.

What a runtime gets, in order: `{type: text, text}`, `{type: image, url | data+format, detail}`,
`{type: audio, data, format, voice?}`, `{type: file | video, file_id | data+filename+mime_type}`;
`data` is base64. A message that is accepted has `sha256`, `mime_type` and `sizeBytes` in place of
`data`: its bytes are kept by their hash.

Source: gateway message API, "Content parts".
"""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol
from urllib.parse import urlsplit

from portico.fetch import Fetched, FetchRefused, check_url
from portico.protocol.errors import InvalidRequest
from portico.web.messages.model import AudioPart, ContentPart, FilePart, ImagePart

MAX_PARTS = 64
MAX_PART_BYTES = 8 * (1 << 20)
_AUDIO_FORMATS = {
    "wav": "wav",
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/vnd.wave": "wav",
    "mp3": "mp3",
    "mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
}
_UNKNOWN_TYPE = "application/octet-stream"

Part = dict[str, Any]


class Download(Protocol):
    """Fetches what a URL names."""

    async def fetch(self, url: str, *, max_bytes: int) -> Fetched:
        """Return the file.

        Raises:
            FetchRefused: it may not or could not be fetched.
        """
        ...


class _BadPart(Exception):
    pass


def plain_parts(parts: Sequence[ContentPart], *, name: str = "content_parts") -> tuple[Part, ...]:
    """Return the parts checked, with URLs still unfetched (`source_url`).

    Args:
        name: how errors call the list.

    Raises:
        InvalidRequest: a part is not valid.
    """
    if len(parts) > MAX_PARTS:
        raise InvalidRequest(f"{name}: more than {MAX_PARTS} parts")
    made: list[Part] = []
    for index, part in enumerate(parts):
        try:
            made.append(_plain(part))
        except (_BadPart, FetchRefused) as error:
            raise InvalidRequest(f"{name}[{index}]: {error}") from None
    return tuple(made)


def needs_download(parts: Sequence[Part]) -> bool:
    """Whether a part has a URL to be fetched."""
    return any("source_url" in part for part in parts)


async def downloaded(parts: Sequence[Part], download: Download) -> tuple[Part, ...]:
    """Return the parts with the bytes behind their URLs.

    Raises:
        InvalidRequest: something could not be fetched or is not what it should be.
    """
    made: list[Part] = []
    for index, part in enumerate(parts):
        try:
            made.append(await _fetched(part, download) if "source_url" in part else part)
        except (_BadPart, FetchRefused) as error:
            raise InvalidRequest(f"content_parts[{index}]: {error}") from None
    return tuple(made)


def text_of(parts: Sequence[Part]) -> str:
    """Return the text in the parts, one per line."""
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def _plain(part: ContentPart) -> Part:
    match part.type.strip():
        case "text":
            return _text(_given(part.text, "text"))
        case "image":
            return _image(_given(part.image, "image"))
        case "audio" | "voice" as kind:
            return _audio(_given(part.audio, "audio"), voice=kind == "voice")
        case "file" | "video" as kind:
            return _file(_given(part.file, "file"), kind)
        case "link":
            link = _given(part.link, "link")
            return _text("\n".join(line for line in (link.title, link.url) if line))
        case "location":
            place = _given(part.location, "location")
            where = f"latitude={place.latitude:g}\nlongitude={place.longitude:g}"
            return _text(f"{place.name}\n{where}" if place.name else where)
        case _:
            raise _BadPart("unsupported content part type")


def _given(value: Any, name: str) -> Any:
    if value is None:
        raise _BadPart(f"missing {name}")
    return value


def _text(text: str) -> Part:
    if not text.strip():
        raise _BadPart("missing text")
    return {"type": "text", "text": text}


def _image(image: ImagePart) -> Part:
    detail = image.detail or "auto"
    if image.url:
        check_url(image.url)
        return {"type": "image", "url": image.url, "detail": detail}
    if not image.format:
        raise _BadPart("missing image format" if image.data else "missing image data or url")
    return {"type": "image", "data": _inline(image.data), "format": image.format, "detail": detail}


def _audio(audio: AudioPart, *, voice: bool) -> Part:
    part: Part = {"type": "audio", **({"voice": True} if voice else {})}
    if audio.url:
        check_url(audio.url)
        return {**part, "source_url": audio.url, "format": audio.format or ""}
    return {**part, "data": _inline(audio.data), "format": _audio_format(audio.format or "")}


def _audio_format(name: str) -> str:
    known = _AUDIO_FORMATS.get(name.strip().lower())
    if known is None:
        raise _BadPart("audio format must be wav or mp3")
    return known


def _file(file: FilePart, kind: str) -> Part:
    if file.file_id:
        return {"type": kind, "file_id": file.file_id, "filename": file.filename or ""}
    if file.url:
        check_url(file.url)
        named = {"filename": file.filename or "", "mime_type": file.format or ""}
        return {"type": kind, "source_url": file.url, **named}
    data = _inline(file.data)
    if not file.filename:
        raise _BadPart("missing filename")
    name = _base_name(file.filename)
    return {"type": kind, "data": data, "filename": name, "mime_type": file.format or _guess(name)}


def _inline(data: bytes | None) -> str:
    if not data:
        raise _BadPart("missing data")
    if len(data) > MAX_PART_BYTES:
        raise _BadPart("content part too large")
    return base64.b64encode(data).decode()


async def _fetched(part: Part, download: Download) -> Part:
    url = part["source_url"]
    rest = {name: value for name, value in part.items() if name != "source_url"}
    found = await download.fetch(url, max_bytes=MAX_PART_BYTES)
    rest["data"] = _inline(found.body)
    if part["type"] == "audio":
        rest["format"] = _format_of_sound(part["format"], url, found)
        return rest
    name = _base_name(part["filename"] or found.file_name) or part["type"]
    rest["filename"] = name
    rest["mime_type"] = part["mime_type"] or found.content_type or _guess(name)
    return rest


def _format_of_sound(asked: str, url: str, found: Fetched) -> str:
    if asked:
        return _audio_format(asked)
    for hint in (PurePosixPath(urlsplit(url).path).suffix.lstrip("."), found.content_type):
        known = _AUDIO_FORMATS.get(hint.lower())
        if known is not None:
            return known
    raise _BadPart("audio format must be wav or mp3")


def _base_name(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2].strip()[:200]


def _guess(name: str) -> str:
    return mimetypes.guess_type(name)[0] or _UNKNOWN_TYPE
