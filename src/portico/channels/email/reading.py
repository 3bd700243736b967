"""From the bytes of a mail to a letter: who wrote what to whom, in which thread, with which files.

Guarantees: any bytes become a letter or raise `Unreadable`, nothing else; sizes, parts, depth and
text are bounded; what is taken from a header has no line breaks or control characters.

Source: RFC 5322, RFC 2045 to 2047, RFC 2183, RFC 3676 (format=flowed).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from email.utils import parsedate_to_datetime

from portico.channels.email.addresses import addresses, decoded, only_address
from portico.channels.email.html import to_text
from portico.channels.media import Kind
from portico.channels.model import Attachment

MAX_HEADER_BYTES = 512 * 1024
MAX_HEADERS = 2_000
MAX_PARTS = 500
MAX_DEPTH = 40
MAX_ID_CHARS = 250
MAX_IDS = 100
MAX_SUBJECT_CHARS = 500
MAX_NAME_CHARS = 150
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
_MESSAGE_ID = re.compile(r"<([^<>\s\x00-\x20\x7f-\x9f\ud800-\udfff]{1,250})>")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_TYPE = re.compile(r"^[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$")
_PATH = re.compile(r"^.*[/\\]")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|\ud800-\udfff]+")
_MAJOR: dict[str, Kind] = {"image": "image", "audio": "audio", "video": "video"}


class Unreadable(Exception):
    """No mail, or none that can be understood; the text says why."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a mail is taken."""

    text_chars: int = 100_000
    file_bytes: int = 20_000_000
    files: int = 20


@dataclass(frozen=True, slots=True)
class Part:
    """One leaf of a mail, decoded."""

    mime_type: str
    content: bytes
    charset: str
    name: str | None
    is_attached: bool
    is_flowed: bool


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail.

    Attributes:
        key: of the mail, the same however often and under whatever number it is found.
        sender: `None`: the header does not name exactly one address.
        text: what is to be read, without what is attached.
        headers: every header, in order, names in lower case, values as they came.
    """

    key: str
    message_id: str | None
    sender: tuple[str, str] | None
    to: frozenset[str]
    cc: frozenset[str]
    subject: str
    in_reply_to: str | None
    references: tuple[str, ...]
    sent_at_ms: int | None
    text: str
    attachments: tuple[Attachment, ...]
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    mime: Message = field(repr=False)

    def header(self, name: str) -> str:
        """Return the first header of a name; empty: there is none."""
        return next((value for known, value in self.headers if known == name), "")

    def all(self, name: str) -> list[str]:
        """Return every header of a name, the newest (topmost) first."""
        return [value for known, value in self.headers if known == name]

    @property
    def root(self) -> str | None:
        """The message the thread began with, as far as this one knows."""
        if self.references:
            return self.references[0]
        return self.in_reply_to or self.message_id


def read(raw: bytes, limits: Limits) -> Letter:
    """Return what a mail says.

    Raises:
        Unreadable: it is none.
    """
    try:
        return _read(raw, limits)
    except Unreadable:
        raise
    except (Exception, RecursionError) as error:  # parsers raise what they like
        raise Unreadable(f"it is damaged ({type(error).__name__})") from error


def key_of(raw: bytes) -> str:
    """Return what a mail is known by that has no readable content."""
    return f"mail:{hashlib.blake2b(raw, digest_size=16).hexdigest()}"


def _read(raw: bytes, limits: Limits) -> Letter:
    end = _END_OF_HEADERS.search(raw[: MAX_HEADER_BYTES + 4])
    if end is None and len(raw) > MAX_HEADER_BYTES:
        raise Unreadable("its headers are too large")
    mime = BytesParser(policy=compat32).parsebytes(raw)
    headers = tuple(_headers(mime))
    if not headers:
        raise Unreadable("it has no headers")
    one = dict(reversed(headers))  # the topmost of each name
    senders = [value for name, value in headers if name == "from"]
    message_id = next(iter(_ids(one.get("message-id", ""))), None)
    text, files = _content(mime, limits)
    return Letter(
        key=_key(one, senders, raw[end.end() :] if end else b""),
        message_id=message_id,
        sender=only_address(senders[0]) if len(senders) == 1 else None,
        to=frozenset(address for _, address in addresses(one.get("to", ""))),
        cc=frozenset(address for _, address in addresses(one.get("cc", ""))),
        subject=decoded(one.get("subject", ""))[:MAX_SUBJECT_CHARS],
        in_reply_to=next(iter(_ids(one.get("in-reply-to", ""))), None),
        references=tuple(_ids(one.get("references", ""))),
        sent_at_ms=_date_ms(one.get("date", "")),
        text=text,
        attachments=files,
        headers=headers,
        mime=mime,
    )


def _headers(mime: Message) -> Iterator[tuple[str, str]]:
    # `raw_items` is how the library itself copies headers; `items` replaces what is not ASCII.
    for number, (name, value) in enumerate(mime.raw_items()):
        if number >= MAX_HEADERS:
            raise Unreadable("it has too many headers")
        raw = str(value).encode("utf-8", "surrogateescape")
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        yield str(name).lower(), text


def _key(one: dict[str, str], senders: list[str], body: bytes) -> str:
    named = "\0".join((*senders, *(one.get(n, "") for n in ("message-id", "date", "subject"))))
    digest = hashlib.blake2b(named.encode("utf-8", "surrogatepass"), digest_size=16)
    digest.update(body)
    return f"mail:{digest.hexdigest()}"


def _ids(header: str) -> list[str]:
    """Return the message ids of a header, each with its brackets, once, in order."""
    found = dict.fromkeys(f"<{one}>" for one in _MESSAGE_ID.findall(header[:64_000]))
    kept = [*found]
    return kept if len(kept) <= MAX_IDS else [kept[0], *kept[1 - MAX_IDS :]]


def _date_ms(header: str) -> int | None:
    with contextlib.suppress(ValueError, TypeError, OverflowError, IndexError):
        return int(parsedate_to_datetime(header[:200]).timestamp() * 1000)
    return None


# -- content ---------------------------------------------------------------------------------------


def _content(mime: Message, limits: Limits) -> tuple[str, tuple[Attachment, ...]]:
    files: list[Attachment] = []
    counted = [0]
    texts = _texts(mime, limits, files, counted, depth=0)
    text = "\n\n".join(text for _, text in texts if text.strip())
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if len(text) > limits.text_chars:
        text = f"{text[: limits.text_chars]}\n\n[the rest of the mail is left out]"
    return text, tuple(files)


def _texts(
    mime: Message, limits: Limits, files: list[Attachment], counted: list[int], *, depth: int
) -> list[tuple[str, str]]:
    """Return the texts of a part to read, with their MIME types; put files aside."""
    counted[0] += 1
    if counted[0] > MAX_PARTS or depth > MAX_DEPTH:
        raise Unreadable("it has too many parts")
    if mime.get_content_maintype() == "multipart" and mime.is_multipart():
        found: list[tuple[str, str]] = []
        for child in children(mime):
            found += _texts(child, limits, files, counted, depth=depth + 1)
        if mime.get_content_subtype() == "alternative":
            return _best(found)
        return found
    part = _part(mime)
    if part.mime_type in {"text/plain", "text/html"} and not part.is_attached:
        return [(part.mime_type, _as_text(part, limits))]
    if part.content:
        files.append(_file(part, limits, is_over=len(files) >= limits.files))
    return []


def children(mime: Message) -> list[Message]:
    """Return the parts right under a part."""
    # Asked for a text in place of parts, the library decodes it with whatever charset is claimed.
    payload = mime.get_payload() if mime.is_multipart() else []
    return [one for one in payload if isinstance(one, Message)] if isinstance(payload, list) else []


def _best(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the plain text of alternatives where there is any; else the other."""
    plain = [one for one in found if one[0] == "text/plain" and one[1].strip()]
    return plain or [one for one in found if one[0] != "text/plain"] or found


def _part(mime: Message) -> Part:
    if mime.get_content_type() == "message/rfc822":
        inner = children(mime)
        content = b"".join(one.as_bytes() for one in inner)
        subject = decoded(str(inner[0].get("subject", ""))) if inner else ""
        title = _safe_name(f"{subject or 'message'}.eml")
        return Part("message/rfc822", content, "", title, is_attached=True, is_flowed=False)
    payload = mime.get_payload(decode=True)
    name = _name(mime)
    disposition = mime.get_content_disposition()
    claimed = mime.get_content_type()
    return Part(
        claimed if _TYPE.match(claimed) else "application/octet-stream",
        payload if isinstance(payload, bytes) else b"",
        _parameter(mime, "charset"),
        name,
        is_attached=disposition == "attachment" or name is not None,
        is_flowed=_parameter(mime, "format").lower() == "flowed",
    )


def _parameter(mime: Message, name: str) -> str:
    with contextlib.suppress(Exception):  # the library decodes parameters with what they claim
        value = mime.get_param(name, "")
        return str(value[2] if isinstance(value, tuple) else value)
    return ""


def _name(mime: Message) -> str | None:
    with contextlib.suppress(Exception):  # as above
        found = mime.get_filename()
        return _safe_name(decoded(found)) if found else None
    return "file"


def _safe_name(name: str) -> str:
    """Return a file's name without a path, or anything that could be taken for one."""
    bare = _UNSAFE.sub("_", _PATH.sub("", name)).strip(". ")
    stem, dot, ending = bare.rpartition(".")
    if dot and len(ending) <= 10:
        return f"{stem[: MAX_NAME_CHARS - 11]}.{ending}"
    return bare[:MAX_NAME_CHARS] or "file"


def _as_text(part: Part, limits: Limits) -> str:
    # HTML is mostly marks; of text, what is cut later need not be decoded.
    raw = part.content[: limits.text_chars * (16 if part.mime_type == "text/html" else 4)]
    text = _decode(raw, part.charset)
    if part.mime_type == "text/html":
        return to_text(text)
    return _unflowed(text) if part.is_flowed else text


def _decode(raw: bytes, charset: str) -> str:
    for name in (charset, "utf-8"):
        if name and name.lower() not in {"us-ascii", "ascii", "unknown-8bit"}:
            with contextlib.suppress(LookupError, ValueError):
                text = raw.decode(name, "replace" if name == charset else "strict")
                if isinstance(text, str):
                    return text
    return raw.decode("windows-1252", "replace")


def _unflowed(text: str) -> str:
    """Join lines that were broken only for the way (RFC 3676)."""
    lines: list[str] = []
    is_open = False
    for line in text.replace("\r\n", "\n").split("\n"):
        is_quote = line.startswith(">")
        said = line.removeprefix(" ")
        if is_open and not is_quote and line != "-- ":
            lines[-1] += said
        else:
            lines.append(said)
        is_open = line.endswith(" ") and line != "-- " and not is_quote
    return "\n".join(lines)


def _file(part: Part, limits: Limits, *, is_over: bool) -> Attachment:
    size = len(part.content)
    is_kept = size <= limits.file_bytes and not is_over
    return Attachment(
        type=_MAJOR.get(part.mime_type.partition("/")[0], "file"),
        mime_type=part.mime_type,
        file_name=part.name,
        content=base64.b64encode(part.content).decode() if is_kept else None,
        size_bytes=size,
    )
