"""Splitting Markdown at a channel's limit.

Theory of operation: a piece ends where it hurts least within its room: between paragraphs, at the
end of a line, of a sentence, of a word; only a word longer than the room is broken, and then not
within what a reader sees as one character. A piece that ends inside fenced code closes the fence,
and the next one opens it again.

Guarantees: no piece is empty or longer than the limit; but for whitespace at the cuts and fences
that were closed and opened, the pieces are the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

MIN_LIMIT = 16
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^\n]*?)[ \t]*$")
_SENTENCE = re.compile(r"[.!?…\u3002\uff01\uff1f][\"')\]]*(?=\s)")
_SPACE = re.compile(r"\s")
_JOINERS = frozenset("\u200d\ufe0e\ufe0f\u20e3")
_LONGEST_CLUSTER = 16
_LEAST_USED = 1 / 3
"""A better place is worth leaving the rest of the room empty."""

Measure = Callable[[str], int]


def utf16_units(text: str) -> int:
    """Return the length of a text in UTF-16 units, as Telegram and others count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass(frozen=True, slots=True)
class _Fence:
    """Code that is open: its marker, and the line that opens it again."""

    marker: str
    opening: str


def split_markdown(text: str, limit: int, *, measure: Measure = len) -> list[str]:
    """Return a text in pieces of at most `limit`; none when there is nothing but whitespace.

    Args:
        measure: how the channel counts; never less for a longer text.

    Raises:
        ValueError: the limit is too small to split at.
    """
    if limit < MIN_LIMIT:
        raise ValueError(f"a limit must be at least {MIN_LIMIT}")
    rest, fence = text.strip("\n") if text.strip() else "", None
    pieces: list[str] = []
    while rest:
        piece, rest, fence = _next_piece(rest, fence, limit, measure)
        if piece.strip():
            pieces.append(piece)
    return pieces


def _next_piece(
    rest: str, fence: _Fence | None, limit: int, measure: Measure
) -> tuple[str, str, _Fence | None]:
    head = "" if fence is None else f"{fence.opening}\n"
    if measure(head + rest) <= limit:
        return head + rest, "", None
    most = _fitting(rest, limit - measure(head), measure)
    cut = _cut(rest, most, fence)
    after = _fence_after(rest[:cut], fence)
    while after is not None and measure(_closed(head + rest[:cut], after)) > limit and cut > 1:
        # The closing fence needs room, too.
        over = measure(_closed(head + rest[:cut], after)) - limit
        cut = _cut(rest, max(1, cut - over), fence)
        after = _fence_after(rest[:cut], fence)
    if after is None:
        return (head + rest[:cut]).rstrip(), rest[cut:].lstrip(), None
    if measure(_closed(head + rest[:cut], after)) > limit:  # no room for the fences themselves
        cut = max(1, _cluster_start(rest, min(most, limit)))
        return rest[:cut], rest[cut:], None
    left = rest[cut:].removeprefix("\n")
    if _closes(left, after):
        _, _, left = left.partition("\n")
        return _closed(head + rest[:cut], after), left.lstrip(), None
    return _closed(head + rest[:cut], after), left, after


def _fitting(text: str, room: int, measure: Measure) -> int:
    """Return how many characters fit."""
    low, high = 1, min(len(text), max(1, room))
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle]) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def _cut(text: str, most: int, fence: _Fence | None) -> int:
    """Return where to cut, at most `most` characters from the start."""
    least = int(most * _LEAST_USED)
    window = text[: most + 1]
    in_code = _fence_after(window, fence) is not None
    if not in_code and (at := window.rfind("\n\n", least, most + 1)) > 0:
        return at
    if (at := window.rfind("\n", least, most + 1)) > 0:
        return at
    if not in_code:
        ends = [m.end() for m in _SENTENCE.finditer(window, least) if m.end() <= most]
        if ends:
            return ends[-1]
    spaces = [m.start() for m in _SPACE.finditer(window, 1) if m.start() <= most]
    if spaces:
        return spaces[-1]
    return _cluster_start(text, most)


def _cluster_start(text: str, at: int) -> int:
    """Return a place not after `at` that is not within what is seen as one character."""
    place = at
    for _ in range(_LONGEST_CLUSTER):
        if place <= 1 or place >= len(text) or not _is_joined(text, place):
            return max(1, place)
        place -= 1
    return max(1, at)


def _is_joined(text: str, at: int) -> bool:
    before, after = text[at - 1], text[at]
    if after in _JOINERS or before == "\u200d":
        return True
    if unicodedata.combining(after) or 0x1F3FB <= ord(after) <= 0x1F3FF:
        return True
    return 0xD800 <= ord(before) <= 0xDBFF and 0xDC00 <= ord(after) <= 0xDFFF


def _fence_after(text: str, fence: _Fence | None) -> _Fence | None:
    """Return the fence that is open at the end of a text."""
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if found is None:
            continue
        marker, info = found[1], found[2]
        if fence is None:
            if marker[0] != "`" or "`" not in info:
                fence = _Fence(marker, line)
        elif marker[0] == fence.marker[0] and len(marker) >= len(fence.marker) and not info:
            fence = None
    return fence


def _closes(text: str, fence: _Fence) -> bool:
    return _fence_after(text.partition("\n")[0], fence) is None


def _closed(text: str, fence: _Fence) -> str:
    return f"{text.rstrip()}\n{fence.marker}"
