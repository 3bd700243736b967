"""Keeps secrets out of the log, whoever logs them.

Guarantees: a field whose name says secret, a `token=…` or bearer credential inside a text, and
every value that was named as a secret are replaced, at any depth.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

MASK = "[redacted]"
MIN_SECRET_LENGTH = 6  # shorter values would mask ordinary words
MAX_DEPTH = 6

_SECRET_NAMES = re.compile(
    r"(?:^|[_.-])(?:token|password|passwd|secret|authorization|cookie|api[_-]?key|credential"
    r"|private[_-]?key|signature)s?$",
    re.IGNORECASE,
)
_CAMEL_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_IN_TEXT = re.compile(
    r"""(?ix)
    \b(bearer|basic)\s+[a-z0-9._~+/=-]{6,}
    | ((?:token|password|passwd|secret|(?:api|access)[_-]?key|sig|signature)["']?\s*[=:]\s*["']?)
      (?!\[redacted\])[^\s"'&,;}\])]{3,}
    | (?<=://)[^/\s:@]+:[^/\s@]+(?=@)
    | (?<=/__openclaw__/cap/)[a-z0-9_%-]+
    | \b(?:sk-|ghp_|gho_|xox[abp]-|glpat-)[a-z0-9_-]{8,}
    """
)


class Redactor:
    """Replaces secrets in log events."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        known = sorted({s for s in secrets if len(s) >= MIN_SECRET_LENGTH}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        return _IN_TEXT.sub(_mask, text)

    def fields(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return a log event without secrets."""
        return {name: self._value(name, value, MAX_DEPTH) for name, value in event.items()}

    def _value(self, name: str, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return MASK if value and is_secret_name(name) else self.text(value)
        if isinstance(value, bytes):
            return f"<{len(value)} bytes>"
        if depth == 0:
            return "…"
        if isinstance(value, dict):
            return {
                str(key): self._value(str(key), inner, depth - 1) for key, inner in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value(name, inner, depth - 1) for inner in value]
        return value


def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret."""
    return _SECRET_NAMES.search(_CAMEL_HUMP.sub("_", name)) is not None


def _mask(match: re.Match[str]) -> str:
    if match.group(1):
        return f"{match.group(1)} {MASK}"
    if match.group(2):
        return f"{match.group(2)}{MASK}"
    return MASK
