"""Numbers and times as people read them."""

from __future__ import annotations

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def span(ms: int) -> str:
    """Return a span of time in its two largest units: `3 h 12 min`, `8 s`."""
    left = max(0, ms) // 1000
    parts: list[str] = []
    for seconds, unit in _UNITS:
        count, left = divmod(left, seconds)
        if count:
            parts.append(f"{count} {unit}")
    if len(parts) < 2 and (left or not parts):
        parts.append(f"{left} s")
    return " ".join(parts[:2])


def count(number: int, thing: str) -> str:
    """Return a number of things: `1 message`, `1,204 messages`."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def money(usd: float) -> str:
    """Return dollars: with cents, or as small as they are."""
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.4f}"
