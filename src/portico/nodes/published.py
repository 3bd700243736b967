"""What nodes publish: tools and skills, kept within bounds.

A description is what a node says of itself: text from outside.

Source: OpenClaw gateway protocol, "node.pluginTools.update", "node.skills.update".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

MAX_TOOL_BYTES = 32_768
MAX_TOOLS_BYTES = 262_144
MAX_SKILLS_BYTES = 524_288


def kept_tools(given: Iterable[dict[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Return the published tools that are kept: each name once, none too large."""
    return _kept(given, each=MAX_TOOL_BYTES, total=MAX_TOOLS_BYTES)


def kept_skills(given: Iterable[dict[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Return the published skills that are kept, by name."""
    kept = _kept(given, each=MAX_SKILLS_BYTES, total=MAX_SKILLS_BYTES)
    return tuple(sorted(kept, key=lambda one: str(one["name"])))


def _kept(
    given: Iterable[dict[str, Any]], *, each: int, total: int
) -> tuple[Mapping[str, Any], ...]:
    kept: dict[str, Mapping[str, Any]] = {}
    used = 0
    for one in given:
        known = {name: value for name, value in one.items() if value is not None}
        size = len(msgspec.json.encode(known))
        if known["name"] in kept or size > each or used + size > total:
            continue
        used += size
        kept[known["name"]] = known
    return tuple(kept.values())
