"""Whether the gateway can do its work: the phase of its life, and checks of what it stands on.

Guarantees: a check that hangs counts as failing after `CHECK_TIMEOUT_S`; results are kept for
`KEEP_S`, so probing often costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import structlog

from portico.clock import Clock

log = structlog.get_logger()

CHECK_TIMEOUT_S = 2.0
KEEP_S = 2.0

Phase = Literal["starting", "ready", "draining"]
Check = Callable[[], Awaitable[str | None]]


class Readiness:
    """The phase and the checks of one gateway."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._phase: Phase = "starting"
        self._checks: dict[str, Check] = {}
        self._failing: tuple[str, ...] = ()
        self._checked_s: float | None = None
        self.started_ms = clock.now_ms()

    @property
    def phase(self) -> Phase:
        """Where the gateway is in its life."""
        return self._phase

    def open(self) -> None:
        """Everything runs: work is accepted from now on."""
        self._phase = "ready"

    def drain(self) -> None:
        """The gateway is about to stop: no new work."""
        self._phase = "draining"

    @property
    def checks(self) -> Mapping[str, Check]:
        """What the gateway stands on."""
        return self._checks

    def add_check(self, name: str, check: Check) -> None:
        """Add a check; it returns why it fails, or `None`."""
        self._checks[name] = check

    async def failing(self) -> tuple[str, ...]:
        """Return why the gateway is not ready, one line each; empty: it is."""
        if self._phase != "ready":
            return (f"gateway: {self._phase}",)
        now = self._clock.monotonic_s()
        if self._checked_s is None or now - self._checked_s >= KEEP_S:
            self._checked_s = now
            self._failing = await self._run_checks()
        return self._failing

    async def _run_checks(self) -> tuple[str, ...]:
        reasons = [await self._run(name, check) for name, check in self._checks.items()]
        return tuple(reason for reason in reasons if reason is not None)

    @staticmethod
    async def _run(name: str, check: Check) -> str | None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                reason = await check()
        except TimeoutError:
            reason = f"no answer within {CHECK_TIMEOUT_S:g} s"
        except Exception as error:
            log.error("readiness.check_failed", check=name, exc_info=error)
            reason = "failing; see the gateway log"
        return None if reason is None else f"{name}: {reason}"
