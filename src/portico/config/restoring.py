"""Putting secrets back where a client sends the placeholder it was shown.

`config.get` shows `__PORTICO_REDACTED__` for a secret. What comes back with it means "as it was":
the value of the same place, or of the entry with the same id in a list.

Guarantees: a placeholder is never written into the file; one that stands for nothing is refused.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from portico.config.issues import ConfigError, Issue, Severity
from portico.config.keypath import KeyPath, format_path
from portico.config.redaction import REDACTED, redact
from portico.config.text import Member, TextError, outline, read_json5

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACEHOLDERS: Final = (REDACTED, "__OPENCLAW_REDACTED__")
_NOTHING: Final = object()


def restored(value: Any, current: Any, shown: Any = _NOTHING, path: KeyPath = ()) -> Any:
    """Return a submitted tree with the current one's secrets in the place of placeholders.

    Args:
        shown: the current tree as it was shown.

    Raises:
        ConfigError: a placeholder stands for nothing.
    """
    if shown is _NOTHING:
        shown = redact(current) if current is not _NOTHING else _NOTHING
    match value:
        case dict():
            return {
                key: restored(item, _member(current, key), _member(shown, key), (*path, key))
                for key, item in value.items()
            }
        case list():
            return [
                restored(item, *_partner(item, index, current, shown), (*path, index))
                for index, item in enumerate(value)
            ]
        case str() if any(one in value for one in PLACEHOLDERS):
            return _original(value, current, shown, path)
        case _:
            return value


def restored_text(text: str, current: Any) -> str:
    """Return a submitted text with the current secrets in the place of placeholders.

    Raises:
        ConfigError: a placeholder stands for nothing, or the text cannot be read.
    """
    if not any(one in text for one in PLACEHOLDERS):
        return text
    root = outline(text)
    if root is None:
        return text  # it is broken, and refused for that
    try:
        meant = restored(read_json5(text), current)
    except TextError:
        return text
    pieces, position = [], 0
    for member, path in _scalars(root, ()):
        literal = text[member.start : member.end]
        if any(one in literal for one in PLACEHOLDERS):
            pieces += [
                text[position : member.start],
                json.dumps(_at(meant, path), ensure_ascii=False),
            ]
            position = member.end
    return "".join([*pieces, text[position:]])


def _original(value: str, current: Any, shown: Any, path: KeyPath) -> Any:
    plain = value.replace(PLACEHOLDERS[1], REDACTED)
    # A reference is shown as it is, but its value, elsewhere, is masked too.
    if current is not _NOTHING and (plain == REDACTED or (plain == shown and current != shown)):
        return current
    raise ConfigError(
        [
            Issue(
                Severity.ERROR,
                format_path(path),
                "the placeholder of a secret stands here, and there is no secret to keep",
                "write the secret, or a reference to it",
                "secret.placeholder",
            )
        ]
    )


def _member(tree: Any, key: str) -> Any:
    return tree.get(key, _NOTHING) if isinstance(tree, dict) else _NOTHING


def _partner(item: Any, index: int, current: Any, shown: Any) -> tuple[Any, Any]:
    """The entry of a list that a submitted entry stands for."""
    if not (isinstance(current, list) and isinstance(shown, list)):
        return _NOTHING, _NOTHING
    if isinstance(item, dict) and isinstance(item.get("id"), str):
        for place, one in enumerate(current):
            if isinstance(one, dict) and one.get("id") == item["id"]:
                return one, shown[place]
    if index < len(current):
        return current[index], shown[index]
    return _NOTHING, _NOTHING


def _scalars(member: Member, path: KeyPath) -> Iterator[tuple[Member, KeyPath]]:
    if member.kind == "scalar":
        yield member, path
    for index, child in enumerate(member.children):
        step: str | int = index if member.kind == "array" else str(child.key)
        yield from _scalars(child, (*path, step))


def _at(tree: Any, path: KeyPath) -> Any:
    for step in path:
        tree = tree[step]
    return tree
