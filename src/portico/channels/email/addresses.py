"""Addresses: the stable id of a sender, and what else of a header names somebody.

Guarantees: no header raises; a display name never counts as an address; what is not exactly one
plain address is none.

Source: RFC 5322, sections 3.4 and 3.6; RFC 5321, section 4.5.3.1 (lengths).
"""

from __future__ import annotations

import re
from email.header import decode_header
from email.utils import getaddresses

MAX_CHARS = 254
MAX_HEADER_CHARS = 8_000
MAX_ADDRESSES = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_ADDRESS = re.compile(
    r"^[^\s\x00-\x20\x7f\"(),:;<>@\[\]\\]{1,64}@[^\s\x00-\x2c\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]{1,190}$"
)


def normalised(address: str) -> str | None:
    """Return an address with its domain in lower case; `None`: it is no plain address."""
    text = address.strip()
    if len(text) > MAX_CHARS or not _ADDRESS.match(text):
        return None
    local, _, domain = text.rpartition("@")
    if (
        local.startswith(".")
        or local.endswith(".")
        or ".." in text
        or domain.startswith((".", "-"))
    ):
        return None
    return f"{local}@{domain.lower()}"


def domain_of(address: str) -> str:
    """Return what follows the last @."""
    return address.rpartition("@")[2].lower()


def addresses(header: str) -> list[tuple[str, str]]:
    """Return the names and plain addresses of a header, in order; what is neither is left out."""
    header = header[:MAX_HEADER_CHARS]
    try:
        pairs = getaddresses([header])
    except (ValueError, IndexError, TypeError, AttributeError):
        return []
    found = [(decoded(name), normalised(address)) for name, address in pairs[:MAX_ADDRESSES]]
    return [(name, address) for name, address in found if address is not None]


def only_address(header: str) -> tuple[str, str] | None:
    """Return the name and address of a header that names exactly one; else `None`.

    What the parser and a plain look at the text do not agree on is none: tricks with quotes and
    comments end here.
    """
    header = _CONTROL.sub(" ", header[: MAX_HEADER_CHARS + 1]).strip()
    if len(header) > MAX_HEADER_CHARS:
        return None
    try:
        pairs = getaddresses([header])
    except (ValueError, IndexError, TypeError, AttributeError):
        return None
    if len(pairs) != 1:
        return None
    name, address = pairs[0]
    plain = normalised(address)
    stated = re.search(r"<([^<>]*)>\s*$", header)
    if plain is None or (stated is not None and stated[1].strip() != address.strip()):
        return None
    if stated is None and header != address.strip():
        return None
    return decoded(name), plain


def decoded(header: str) -> str:
    """Return a header's text in one line, its encoded words decoded as far as they can be."""
    try:
        pieces = decode_header(header[:MAX_HEADER_CHARS])
    except Exception:  # noqa: BLE001  # the decoder of the standard library raises what it likes
        pieces = [(header[:MAX_HEADER_CHARS], None)]
    said = "".join(
        piece if isinstance(piece, str) else _text(piece, charset) for piece, charset in pieces
    )
    return one_line(said)


def one_line(text: str) -> str:
    """Return a text without line breaks, control characters and what no encoding knows."""
    return " ".join(_CONTROL.sub(" ", text).split())


def _text(piece: bytes, charset: str | None) -> str:
    try:
        return piece.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):
        return piece.decode("latin-1")
