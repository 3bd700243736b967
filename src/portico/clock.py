"""The one place that reads a clock.

Guarantees: `now_ms` is wall-clock UTC in integer milliseconds (the unit of the wire); `monotonic_s`
never goes back. Everything that needs time takes a `Clock`, so tests can hand in a fake one.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the present comes from."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back; only differences mean something."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()
