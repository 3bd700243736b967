"""`{{path.to.value}}`: what of a posted body goes into a message.

Guarantees: one pass; what was filled in is never read as a template again, whatever it says. What
is not there is empty. No code runs.

Source: OpenClaw, "Webhooks", templates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

MAX_VALUE_CHARS = 50_000
MAX_STEPS = 20
_HOLE = re.compile(r"\{\{\s*([^{}]{1,200}?)\s*\}\}")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d{1,6})\]")
_UNSAFE_IN_KEYS = re.compile(r"[^A-Za-z0-9._-]+")


def render(template: str, given: Mapping[str, Any]) -> str:
    """Return a template with its values filled in."""
    return _HOLE.sub(lambda hole: _shown(find(hole[1], given)), template).strip()


def render_key(template: str, given: Mapping[str, Any]) -> str:
    """Return a session key; values can name no other part of it than the one they stand in."""
    return _HOLE.sub(lambda hole: _part(_shown(find(hole[1], given))), template).strip()


def find(path: str, given: Mapping[str, Any]) -> Any:
    """Return what is at a path such as `messages[0].from`; `None`: nothing."""
    value: Any = given
    for name, index in _STEP.findall(path)[:MAX_STEPS]:
        if index and isinstance(value, Sequence) and not isinstance(value, str):
            value = value[int(index)] if int(index) < len(value) else None
        elif name and isinstance(value, Mapping):
            value = value.get(name)
        else:
            return None
    return value


def _shown(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text[:MAX_VALUE_CHARS]


def _part(text: str) -> str:
    return _UNSAFE_IN_KEYS.sub("_", text)[:100] or "none"
