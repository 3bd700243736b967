"""Lengths of time as people write them: `30m`, `1h30m`, `90s`, `2d`, `500ms`."""

from __future__ import annotations

import re

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])?\s*", re.ASCII)


def parse_duration_ms(text: str, *, unit: str = "ms") -> int:
    """Return a length of time in milliseconds.

    Args:
        unit: of a number without one.

    Raises:
        ValueError: it is no length of time; the text says so and is fit for the caller.
    """
    rest, total = text.strip().lower(), 0.0
    if not rest:
        raise ValueError("a length of time is missing; write one like 30m, 2h or 1d")
    while rest:
        part = _PART.match(rest)
        if part is None:
            raise ValueError(f"not a length of time: {text[:40]!r}; write one like 30m, 2h or 1d")
        total += float(part[1]) * _UNITS_MS[part[2] or unit]
        rest = rest[part.end() :]
    return round(total)
