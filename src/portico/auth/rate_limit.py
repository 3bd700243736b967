"""Brute-force protection: who fails too often has to wait.

Guarantees: ten failures in a minute lock a (scope, address) out for five minutes; a missing
credential is no failure. This machine itself is never locked out, but each of its failures waits
longer than the one before. Memory is bounded: the address that failed longest ago is forgotten.

Source: OpenClaw gateway protocol, "Rate limiting".
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

from portico.clock import Clock

AuthScope = Literal["shared-secret", "device-token", "bootstrap-token", "device-join", "hook-auth"]
FIRST_DELAY_MS = 250
LONGEST_DELAY_MS = 5_000
MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class RateLimitSettings:
    """How many failures are too many."""

    max_attempts: int = 10
    window_ms: int = 60_000
    lockout_ms: int = 300_000
    exempt_loopback: bool = True


@dataclass(slots=True)
class _Failures:
    at_ms: list[int] = field(default_factory=list)
    locked_until_ms: int = 0


class FailureLimiter:
    """Counts failed attempts per scope and address."""

    def __init__(self, clock: Clock, settings: RateLimitSettings | None = None) -> None:
        self._clock = clock
        self._settings = settings or RateLimitSettings()
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def configure(self, settings: RateLimitSettings) -> None:
        """Use other numbers from now on."""
        self._settings = settings

    def locked_for_ms(self, scope: AuthScope, address: str, *, exempt: bool) -> int:
        """Return how long the address still has to wait; 0 when it may try."""
        entry = self._failures.get((scope, address))
        if entry is None or (exempt and self._settings.exempt_loopback):
            return 0
        return max(0, entry.locked_until_ms - self._clock.now_ms())

    def failed(self, scope: AuthScope, address: str, *, exempt: bool) -> int:
        """Count a failure and return how long its answer should be held back, in milliseconds."""
        now = self._clock.now_ms()
        entry = self._failures.setdefault((scope, address), _Failures())
        self._failures.move_to_end((scope, address))
        if len(self._failures) > MAX_ENTRIES:
            self._failures.popitem(last=False)
        oldest = now - self._settings.window_ms
        entry.at_ms = [at for at in entry.at_ms if at > oldest][-self._settings.max_attempts :]
        entry.at_ms.append(now)
        if exempt and self._settings.exempt_loopback:
            doubled = FIRST_DELAY_MS << min(len(entry.at_ms) - 1, 10)
            return min(doubled, LONGEST_DELAY_MS)
        if len(entry.at_ms) >= self._settings.max_attempts:
            entry.locked_until_ms = now + self._settings.lockout_ms
            entry.at_ms.clear()
        return 0

    def succeeded(self, scope: AuthScope, address: str) -> None:
        """Forget the failures of an address that has now proved itself."""
        self._failures.pop((scope, address), None)
