"""What a file is by its own bytes, whatever somebody calls it.

Guarantees: what is called a picture, a sound, a video or a PDF has the signature of one. A name
that was claimed counts only where it can do no harm: which kind of text it is, which kind of
archive, which kind of bytes that nobody knows.

Not here: whether a file is sound beyond its signature; whoever opens it must expect that.

Source: WHATWG MIME Sniffing, "Matching a MIME type pattern"; RFC 3533 (Ogg), ISO 14496-12 (ftyp),
RFC 9559 (Matroska), ID3v2, ISO 32000 (PDF).
"""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal["image", "audio", "video", "file"]
HEAD_BYTES = 4_096
"""How much of the beginning of a file is looked at."""
UNKNOWN = "application/octet-stream"
TEXT = "text/plain"

_MAJOR: dict[str, Kind] = {"image": "image", "audio": "audio", "video": "video"}
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"#!AMR", "audio/amr"),
    (b"\x1f\x8b", "application/gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_PICTURE_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
}
_SOUND_BRANDS = frozenset({b"M4A ", b"M4B "})
_MPEG_AUDIO = re.compile(rb"\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd][\x00-\xef]")
_AAC = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")
_TYPE_NAME = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,100}")
_TEXTS = frozenset(
    {"application/json", "application/xml", "application/yaml", "application/x-yaml"}
)
_IN_ZIP = ("application/vnd.", "application/epub", "application/x-", "application/java")
_NEVER_CLAIMED = ("image/", "audio/", "video/", "text/", "application/pdf", "multipart/")


_BMP_HEADERS = frozenset(bytes([size, 0, 0, 0]) for size in (12, 40, 108, 124))


def sniffed(head: bytes) -> str | None:
    """Return the MIME type a file's first bytes show; `None`: they show none."""
    for magic, mime_type in _MAGIC:
        if head.startswith(magic):
            return mime_type
    if head[4:8] == b"ftyp":
        return _brand(head[8:12])
    if head[:2] == b"BM" and head[14:18] in _BMP_HEADERS:
        return "image/bmp"
    return _container(head) or _bare_sound(head)


def _container(head: bytes) -> str | None:
    match head[:4]:
        case b"RIFF":
            return _RIFF.get(head[8:12])
        case b"OggS":
            return "video/ogg" if b"theora" in head[:128] else "audio/ogg"
        case b"\x1aE\xdf\xa3":
            return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
        case _:
            return None


def _bare_sound(head: bytes) -> str | None:
    if _AAC.match(head):
        return "audio/aac"
    return "audio/mpeg" if _MPEG_AUDIO.match(head) else None


def verified(head: bytes, claimed: str | None) -> str:
    """Return what a file may be called.

    Args:
        head: its first `HEAD_BYTES`, or all of it.
        claimed: the MIME type somebody says it has.
    """
    name = (claimed or "").partition(";")[0].strip().lower()
    if not _TYPE_NAME.fullmatch(name):
        name = ""
    found = sniffed(head)
    if found is None:
        found = TEXT if _is_text(head) else UNKNOWN
    return _refined(found, name)


def kind_of(mime_type: str) -> Kind:
    """Return which kind of file a MIME type is of."""
    return _MAJOR.get(mime_type.partition("/")[0], "file")


def _refined(found: str, claimed: str) -> str:
    """Return the claimed type where it says more, and no more than it may."""
    match found:
        case "text/plain":
            return claimed if claimed.startswith("text/") or claimed in _TEXTS else found
        case "application/zip":
            return claimed if claimed.startswith(_IN_ZIP) else found
        case "video/webm" if claimed == "audio/webm":  # one container; nobody is harmed
            return claimed
        case "video/mp4" if claimed in {"audio/mp4", "audio/m4a", "audio/x-m4a"}:
            return "audio/mp4"
        case "application/octet-stream":
            is_harmless = claimed and not claimed.startswith(_NEVER_CLAIMED)
            return claimed if is_harmless and claimed not in _TEXTS else found
        case _:
            return found


def _brand(brand: bytes) -> str:
    if brand in _SOUND_BRANDS:
        return "audio/mp4"
    if brand == b"qt  ":
        return "video/quicktime"
    return _PICTURE_BRANDS.get(brand, "video/mp4")


def _is_text(head: bytes) -> bool:
    if b"\x00" in head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3 and error.start > 0  # a letter cut in two at the end
    return True
