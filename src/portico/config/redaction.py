"""Showing a configuration without its secrets.

A value is secret when the model says so, when a secret reference was resolved there, when its key
is named like one, when it is an environment variable or a header, or when it is the password
part of a URL. A `${NAME}` alone is a reference, not a secret, and stays visible.

Guarantees: `redact_text` gives None rather than a text it cannot vouch for.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from portico.config.keypath import KeyPath
from portico.config.references import is_secret_ref
from portico.config.text import Member, TextError, outline, read_json5

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

REDACTED = "__PORTICO_REDACTED__"

_SECRET_KEY = re.compile(
    r"(?:token|password|passwd|passphrase|secret|api[_-]?key|private[_-]?key|signing[_-]?key"
    r"|access[_-]?key|credential|authorization|cookie)s?$",
    re.IGNORECASE,
)
_COUNTED_KEY = re.compile(r"tokens$", re.IGNORECASE)  # maxTokens: a number, not a secret
_HOLDERS = frozenset({"env", "headers", "vars"})
_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^\s/@]+@")
_URL_QUERY = re.compile(
    r"([?&](?:access_token|token|password|secret|api_?key|key)=)[^&#\s]+", re.IGNORECASE
)
# A shorter secret may occur in a text by chance; the literal itself is masked all the same.
_MIN_SEARCHED_SECRET = 4


def redact(value: Any, secret_paths: Collection[KeyPath] = ()) -> Any:
    """A copy of a configuration tree with every secret replaced by `REDACTED`."""
    return _redact(value, (), frozenset(secret_paths), held=False)


def redact_text(text: str, secret_paths: Collection[KeyPath] = ()) -> str | None:
    """The file's text with every secret literal replaced, or None when that is not certain."""
    root = outline(text)
    if root is None:
        return None
    secrets = frozenset(secret_paths)
    pieces: list[str] = []
    hidden: list[str] = []
    position = 0
    for member, path, held in _scalars(root, (), held=False):
        try:
            value = read_json5(text[member.start : member.end])
        except TextError:
            return None
        masked = _redact(value, path, secrets, held=held)
        if masked != value:
            hidden.append(str(value))
            pieces += [text[position : member.start], json.dumps(masked, ensure_ascii=False)]
            position = member.end
    result = "".join([*pieces, text[position:]])
    leaked = any(len(secret) >= _MIN_SEARCHED_SECRET and secret in result for secret in hidden)
    return None if leaked else result


def is_secret_path(path: KeyPath) -> bool:
    """Whether the model marks the field at `path` as secret."""
    from portico.config.fields import field_at

    info = field_at(path)
    extra = info.json_schema_extra if info is not None else None
    return isinstance(extra, dict) and bool(extra.get("secret"))


def mask_urls(text: str) -> str:
    """A text with the passwords and tokens inside its URLs masked."""
    text = _URL_PASSWORD.sub(rf"\g<1>{REDACTED}@", text)
    return _URL_QUERY.sub(rf"\g<1>{REDACTED}", text)


def _redact(value: Any, path: KeyPath, secrets: frozenset[KeyPath], *, held: bool) -> Any:
    match value:
        case dict() if is_secret_ref(value):
            return dict(value)
        case dict():
            return {
                key: _redact(
                    item,
                    (*path, str(key)),
                    secrets,
                    held=held or str(key) in _HOLDERS or is_secret_path(path),
                )
                for key, item in value.items()
            }
        case list() | tuple():
            return [
                _redact(item, (*path, index), secrets, held=held or _is_named_secret(path))
                for index, item in enumerate(value)
            ]
        case None | bool():
            return value
        case _ if _is_secret(value, path, secrets, held=held):
            return REDACTED
        case str():
            return mask_urls(value)
        case _:
            return value


def _is_secret(value: Any, path: KeyPath, secrets: frozenset[KeyPath], *, held: bool) -> bool:
    if path in secrets:
        return True
    if isinstance(value, str) and (not value or _REFERENCE.fullmatch(value)):
        return False
    if isinstance(value, str) and held:
        return True
    if not isinstance(value, str) and path and _COUNTED_KEY.search(str(path[-1])):
        return False
    return _is_named_secret(path) or is_secret_path(path)


def _is_named_secret(path: KeyPath) -> bool:
    named = next((step for step in reversed(path) if isinstance(step, str)), "")
    return _SECRET_KEY.search(named) is not None


def _scalars(
    member: Member, path: KeyPath, *, held: bool
) -> Iterator[tuple[Member, KeyPath, bool]]:
    if member.kind == "scalar":
        yield member, path, held
        return
    if _is_reference_member(member):
        return
    for index, child in enumerate(member.children):
        if member.kind == "object":
            key = child.key or ""
            yield from _scalars(
                child, (*path, key), held=held or key in _HOLDERS or is_secret_path(path)
            )
        else:
            yield from _scalars(child, (*path, index), held=held or _is_named_secret(path))


def _is_reference_member(member: Member) -> bool:
    keys = {child.key for child in member.children}
    return member.kind == "object" and {"source", "id"} <= keys <= {"source", "provider", "id"}
