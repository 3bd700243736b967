r"""What a reviewer reads: text from agents, with everything made visible that could deceive.

Guarantees: the text has no character that a terminal or a page would act on, hide or reorder
(controls, invisible and bidirectional ones, odd spaces); each stands as `\u{…}`. Newlines and tabs
stay: they are part of what will run.
"""

from __future__ import annotations

import unicodedata

MAX_COMMAND_CHARS = 16_384
MAX_LINE_CHARS = 4_096
MAX_WARNING_CHARS = 4_096

_KEPT = frozenset(" \n\t")
_DECEIVING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
# Letters that are drawn as nothing.
_BLANK = frozenset({0x115F, 0x1160, 0x3164, 0xFFA0, 0x2800, 0x180B, 0x180C, 0x180D, 0x034F})


def visible(text: str, *, limit: int | None = None) -> str:
    """Return the text with every deceiving character spelled out, and cut when it is too long."""
    if limit is not None and len(text) > limit:
        text = f"{text[: limit - 1]}…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(one) for one in text)


def _shown(character: str) -> str:
    if character in _KEPT:
        return character
    code = ord(character)
    variation = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF
    if unicodedata.category(character) in _DECEIVING or code in _BLANK or variation:
        return f"\\u{{{code:x}}}"
    return character
