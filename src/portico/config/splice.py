"""Changing one value inside a JSON5 text and leaving every other character as it was.

The text is never rewritten from its data: the places of the old value, or of the gap where a new
one belongs, come from text.py, and only those characters change.

Guarantees: comments and layout outside the changed value survive; the result, read again, equals
the old data with exactly that change (the caller checks it).
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from portico.config.keypath import KeyPath, list_index
from portico.config.text import Member, find_member, outline

if TYPE_CHECKING:
    from collections.abc import Sequence

_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_RESERVED = frozenset({"null", "true", "false", "Infinity", "NaN"})
_BLANK = re.compile(r"(?:[\s\ufeff]|//[^\n\r\u2028\u2029]*|/\*.*?\*/)*", re.DOTALL)
_LINE_REST = re.compile(r"[ \t]*(?://[^\n]*)?(?:\r?\n)?")
_INDENT = "  "


class SpliceError(ValueError):
    """The text, or the path, does not allow this change."""


def set_in_text(text: str, path: KeyPath, value: Any) -> str:
    """The text with `value` at `path`, making the objects on the way.

    Raises:
        SpliceError: a step on the way is neither an object nor an entry of a list.
    """
    text, root = _outlined(text)
    member, rest = find_member(root, path)
    quoted = _quotes_keys(root)
    if not rest:
        indent = _indent_at(text, member.key_start)
        written = render(value, indent, quoted=quoted)
        return text[: member.start] + written + text[member.end :]
    if member.kind == "array" and list_index(rest[0]) != len(member.children):
        raise SpliceError(f"list entry {rest[0]} does not exist")
    if member.kind == "scalar":
        raise SpliceError(f"{rest[0]!r} cannot be put into a value that is not an object")
    for step in reversed(rest[1:]):
        if isinstance(step, int) and step > 0:
            raise SpliceError(f"list entry {step} does not exist")
        value = [value] if isinstance(step, int) else {step: value}
    return _insert(text, member, rest[0], value, quoted=quoted)


def unset_in_text(text: str, path: KeyPath) -> str:
    """The text without the value at `path`; unchanged when nothing is there."""
    while True:
        text, root = _outlined(text)
        parent, rest = find_member(root, path[:-1])
        member = None if rest else parent.child(path[-1])
        if member is None:
            return text
        text = _remove(text, parent, member)
        if parent.kind == "array":
            return text


def render(value: Any, indent: str, *, quoted: bool) -> str:
    """A value as JSON5, its inner lines indented below `indent`."""
    deeper = indent + _INDENT
    match value:
        case dict() if value:
            lines = [
                f"{deeper}{render_key(str(key), quoted=quoted)}: "
                f"{render(item, deeper, quoted=quoted)},\n"
                for key, item in value.items()
            ]
            return "{\n" + "".join(lines) + indent + "}"
        case list() | tuple() if any(isinstance(item, (dict, list, tuple)) for item in value):
            lines = [f"{deeper}{render(item, deeper, quoted=quoted)},\n" for item in value]
            return "[\n" + "".join(lines) + indent + "]"
        case list() | tuple():
            return "[" + ", ".join(render(item, indent, quoted=quoted) for item in value) + "]"
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
        case _:
            return _json(value)


def render_key(key: str, *, quoted: bool) -> str:
    """An object key, bare where the text's own keys are and the grammar allows it."""
    bare = _IDENTIFIER.fullmatch(key) and key not in _RESERVED
    return key if bare and not quoted else _json(key)


def _json(value: Any) -> str:
    written = json.dumps(value, ensure_ascii=False)
    try:
        written.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair
        return json.dumps(value)
    return (
        written.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x7f", "\\u007f")
    )


def _outlined(text: str) -> tuple[str, Member]:
    if not _BLANK.sub("", text, count=1):
        text = text + ("\n" if text and not text.endswith("\n") else "") + "{\n}\n"
    root = outline(text)
    if root is None:
        raise SpliceError("the text cannot be edited in place; correct it by hand first")
    return text, root


def _quotes_keys(root: Member) -> bool:
    return bool(root.children) and all(child.key_quoted for child in root.children)


def _indent_at(text: str, offset: int) -> str:
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _insert(text: str, parent: Member, step: str | int, value: Any, *, quoted: bool) -> str:
    close = parent.end - 1
    inside = parent.children[-1].end if parent.children else parent.start + 1
    gap = text[inside:close]
    several_lines = "\n" in text[parent.start : close] or not parent.children
    outer = _indent_at(text, parent.key_start)
    indent = outer + _INDENT
    if parent.children and "\n" in text[parent.start : parent.children[0].key_start]:
        indent = _indent_at(text, parent.children[0].key_start)
    name = "" if parent.kind == "array" else f"{render_key(str(step), quoted=quoted)}: "
    written = name + render(value, indent if several_lines else outer, quoted=quoted)
    comma = "," if parent.children and not parent.trailing_comma else ""
    tail = gap.rstrip()
    if not several_lines:
        return text[:inside] + comma + tail + " " + written + text[inside + len(tail) :]
    after = gap[len(tail) :] if "\n" in gap[len(tail) :] else f"\n{outer}"
    end = "," if parent.trailing_comma or not parent.children else ""
    return text[:inside] + comma + tail + f"\n{indent}{written}{end}" + after + text[close:]


def _remove(text: str, parent: Member, member: Member) -> str:
    siblings: Sequence[Member] = parent.children
    position = siblings.index(member)
    start, end = member.key_start, member.end
    blank_after = _blank_end(text, end)
    if text[blank_after : blank_after + 1] == ",":
        end = blank_after + 1
    elif position > 0:
        comma = _blank_end(text, siblings[position - 1].end)
        text = text[:comma] + text[comma + 1 :]
        start, end = start - 1, end - 1
    line_start = text.rfind("\n", 0, start) + 1
    alone_before = not text[line_start:start].strip()
    rest = _LINE_REST.match(text, end)
    if alone_before and rest is not None and rest[0].endswith("\n"):
        return text[:line_start] + text[rest.end() :]
    if not alone_before and text[end : end + 1] == " ":
        end += 1
    return text[:start] + text[end:]


def _blank_end(text: str, offset: int) -> int:
    match = _BLANK.match(text, offset)
    return match.end() if match is not None else offset
