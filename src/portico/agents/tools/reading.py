"""What a turn was shown, and what its model said: where a text in an argument comes from.

Theory of operation: an address that somebody else wrote tells nobody anything new. A model that
was talked into it can write one with a secret in it; and it can have its own words come back to it,
in what a tool returns, in its answer of yesterday, in a summary. So a text counts as read when it
stands in what people or instructions wrote, or in a result that came before the model first said
it. It has to stand there whole: the beginning of a longer address is another address.

Guarantees: at most `MAX_CHARS` are kept; what comes after that is never counted as read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

MAX_CHARS = 4_000_000
_BREAKS = frozenset(" \t\r\n\v\f<>\"'`|\\")
_OPENERS = frozenset("([{*_,;=")
_MARKS = frozenset(".,;:!?)]}*_")  # these end a sentence, or belong to an address
_MOST_MARKS = 3

_Source = Literal["written", "returned", "said"]


class Reading:
    """The texts of one turn, in order."""

    def __init__(self) -> None:
        self._texts: list[tuple[_Source, str]] = []
        self._left = MAX_CHARS

    def written(self, text: str) -> None:
        """Note what a person or the operator's instructions say."""
        self._note("written", text)

    def returned(self, text: str) -> None:
        """Note what a tool returned, which may repeat what the model said."""
        self._note("returned", text)

    def said(self, value: Any) -> None:
        """Note words of the model: an answer, or the arguments of a call."""
        self._note("said", "\n".join(_strings(value)))

    def has(self, text: str) -> bool:
        """Whether a text was read before the model said it itself."""
        is_echo = False
        for source, known in self._texts:
            if source == "said":
                is_echo = is_echo or text in known
            elif (source == "written" or not is_echo) and _stands_whole(text, known):
                return True
        return False

    def _note(self, source: _Source, text: str) -> None:
        if not text:
            return
        self._left -= len(text)
        if self._left >= 0:
            self._texts.append((source, text))


def _stands_whole(text: str, known: str) -> bool:
    if not text:
        return False
    at = known.find(text)
    while at >= 0:
        if _begins(known, at) and _ends(known, at + len(text)):
            return True
        at = known.find(text, at + 1)
    return False


def _begins(known: str, at: int) -> bool:
    if at == 0 or known[at - 1] in _BREAKS or known[at - 1] in _OPENERS:
        return True
    return known[at - 1] in "nrt" and known[at - 2 : at - 1] == "\\"  # a new line within JSON


def _ends(known: str, at: int) -> bool:
    """Whether a word ends here, at once or after a few marks of punctuation."""
    rest = known[at : at + _MOST_MARKS + 1]
    marks = 0
    while marks < len(rest) and rest[marks] in _MARKS:
        marks += 1
    return marks <= _MOST_MARKS and (marks == len(rest) or rest[marks] in _BREAKS)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield str(name)
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
