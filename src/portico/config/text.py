"""JSON5 text: reading it fast, and finding where in the text a path stands.

Two parsers, each for what it is good at: pyjson5 reads in microseconds and keeps no positions;
json-five keeps every token's place and costs a tenth of a second, so it is imported only when
there is something to point at or to edit.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from portico.config.issues import Issue, Severity
from portico.config.keypath import KeyPath, list_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from json5.model import Node

_NEAR = re.compile(r"near (\d+)")
_CODE_POINT = re.compile(r"U\+([0-9a-fA-F]{4,6})")
_BYTES_NAME = re.compile(r"b'([^']*)'")


class TextError(ValueError):
    """The text is not JSON5. `offset` is the character where the reader stopped."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def read_json5(text: str) -> Any:
    """Decode JSON5.

    Raises:
        TextError: with a message and the offset of the trouble.
    """
    import pyjson5

    try:
        return pyjson5.decode(text)
    except pyjson5.Json5Exception as error:
        message = _BYTES_NAME.sub(r"\1", str(error.args[0])).replace(" ,", ",")
        near = _NEAR.search(message)
        # pyjson5 counts the character after the offending one.
        offset = max(int(near[1]) - 1, 0) if near else 0
        message = _CODE_POINT.sub(_shown, _NEAR.sub("", message)).replace(" ,", ",").strip(" ,")
        raise TextError(message, min(offset, len(text))) from None


def _shown(code_point: re.Match[str]) -> str:
    character = chr(int(code_point[1], 16))
    return repr(character) if character.isprintable() else code_point[0]


@dataclass(frozen=True, slots=True)
class Lines:
    """Offsets to (line, column), both from 1, and back."""

    starts: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> Lines:
        """Index a text's line starts."""
        return cls((0, *(match.end() for match in re.finditer("\n", text))))

    def place(self, offset: int) -> tuple[int, int]:
        """The line and column of an offset."""
        line = bisect.bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1


def syntax_issue(error: TextError, text: str, file: str) -> Issue:
    """Turn a reading failure into an issue with its place."""
    line, column = Lines.of(text).place(error.offset)
    return Issue(
        severity=Severity.ERROR,
        path="",
        message=f"not valid JSON5: {error}",
        next_step="correct the text at this place, or restore the .last-good copy",
        code="json5.syntax",
        file=file,
        line=line,
        column=column,
    )


@dataclass(slots=True)
class Member:
    """One value of the text and, inside an object, its key. Offsets are half-open."""

    start: int
    end: int
    key_start: int
    key_end: int
    key: str | None = None
    key_quoted: bool = False
    kind: str = "scalar"  # scalar | object | array
    trailing_comma: bool = False
    children: list[Member] = field(default_factory=list)

    def child(self, step: str | int) -> Member | None:
        """The member a step names; of repeated keys the last, as JSON readers do."""
        if self.kind == "object":
            named = [child for child in self.children if child.key == str(step)]
            return named[-1] if named else None
        if self.kind == "array":
            index = list_index(step)
            if index is not None and index < len(self.children):
                return self.children[index]
        return None


def outline(text: str) -> Member | None:
    """The text as members with places; None when json-five cannot follow it."""
    from json5.loader import ModelLoader, loads
    from json5.utils import JSON5DecodeError

    if not text.strip():
        return None
    try:
        return _member(text, loads(text, loader=ModelLoader()).value, None)
    except (JSON5DecodeError, ValueError, RecursionError):
        return None


def find_member(root: Member, path: Sequence[str | int]) -> tuple[Member, KeyPath]:
    """The deepest member on the way to `path`, and the steps that were left over."""
    node = root
    for position, step in enumerate(path):
        following = node.child(step)
        if following is None:
            return node, tuple(path[position:])
        node = following
    return node, ()


def _member(text: str, value: Node, key: Node | None) -> Member:
    start, end = _span(value)
    key_start, key_end = (start, start) if key is None else _span(key)
    member = Member(start=start, end=end, key_start=key_start, key_end=key_end)
    if key is not None:
        name = getattr(key, "name", None)
        # json-five leaves surrogate pairs apart; the reader's own view of the key is what counts.
        member.key = str(read_json5(text[key_start:key_end])) if name is None else name
        member.key_quoted = name is None
    kind = type(value).__name__
    if kind in {"JSONObject", "JSONArray"}:
        values: list[Node] = getattr(value, "values")  # noqa: B009 - the two kinds share no base
        keys: list[Node | None] = getattr(value, "keys", [None] * len(values))
        member.kind = "object" if kind == "JSONObject" else "array"
        member.children = [
            _member(text, child, name) for child, name in zip(values, keys, strict=True)
        ]
        member.trailing_comma = getattr(value, "trailing_comma", None) is not None
    return member


def _span(node: Node) -> tuple[int, int]:
    # The public line/column pair is wrong for the end of a string over several lines; the
    # tokens' own offsets are right.
    first, last = node._tok, node._end_tok  # noqa: SLF001
    if first is None or last is None:
        raise ValueError("a node without tokens")
    return first.index, last.end
