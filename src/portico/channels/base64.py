"""Base64 as people send it, decoded piece by piece.

Guarantees: line breaks and the URL-safe letters are taken, padding may be missing; anything else is
refused; the whole of what is decoded is never held at once.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator

PIECE_CHARS = 1 << 20
_STANDARD = bytes.maketrans(b"-_", b"+/")
_BLANK = b" \t\r\n\v\f"


def decoded(content: str) -> Iterator[bytes]:
    """Yield the bytes that a base64 text stands for, in order.

    Raises:
        ValueError: it is not base64.
    """
    rest = b""
    for start in range(0, len(content), PIECE_CHARS):
        try:
            piece = content[start : start + PIECE_CHARS].encode("ascii")
        except UnicodeEncodeError:
            raise ValueError("it is not base64") from None
        piece = rest + piece.translate(_STANDARD, _BLANK)
        is_last = start + PIECE_CHARS >= len(content)
        whole = len(piece) if is_last else len(piece) // 4 * 4
        rest = piece[whole:]
        yield _plain(piece[:whole], is_last=is_last)


def _plain(piece: bytes, *, is_last: bool) -> bytes:
    if is_last:
        piece = piece.rstrip(b"=")
        piece += b"=" * (-len(piece) % 4)
    try:
        return binascii.a2b_base64(piece, strict_mode=True) if piece else b""
    except binascii.Error:
        raise ValueError("it is not base64") from None
