"""A clock that stands still until a test moves it."""

from __future__ import annotations

START_MS = 1_800_000_000_000


class FakeClock:
    """Both of its hands move together, and only when told; unless somebody sets the clock."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self._now_ms = now_ms
        self._monotonic_s = 1_000.0

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        self._now_ms += round(seconds * 1000)
        self._monotonic_s += seconds

    def set(self, now_ms: int) -> None:
        """Set the wall clock, as a person or a time server does; no time passes."""
        self._now_ms = now_ms
