"""A clock that stands still until it is told to go on."""

from __future__ import annotations


class FakeClock:
    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self.ms = now_ms
        self.s = 1_000.0

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.s

    def advance(self, ms: int) -> None:
        self.ms += ms
        self.s += ms / 1000
