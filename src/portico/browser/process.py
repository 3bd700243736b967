"""The process of the browser service, seen from the gateway: started when needed, and ended.

Guarantees: it is given no secrets of the gateway and no arguments that others could read; it ends
when the gateway does, however that ends, because the pipe to it closes; one that has died is
started anew for the next request, not more often than every `PAUSE_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from portico.browser.settings import BrowserSettings
from portico.clock import Clock

log = structlog.get_logger()

PAUSE_S = 5.0
STOP_S = 12.0
ENVIRONMENT = (
    *("PATH", "LANG", "TZ", "TMPDIR", "HOME", "PYTHONPATH", "VIRTUAL_ENV"),
    *("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "XAUTHORITY", "PLAYWRIGHT_BROWSERS_PATH"),
)
"""What of the gateway's environment the service needs."""


class NotRunning(Exception):
    """The service cannot be had; the text says why."""


@dataclass(frozen=True, slots=True)
class Running:
    """A service that is there."""

    port: int
    token: str


class BrowserProcess:
    """At most one service.

    Args:
        argv: the program; it reads its settings from its input.
        settings: returns how it is run, each time with a token of its own.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        settings: Callable[[], BrowserSettings],
        env: Mapping[str, str],
        clock: Clock,
    ) -> None:
        self._argv = argv
        self._settings = settings
        self._env = {name: env[name] for name in ENVIRONMENT if name in env}
        self._clock = clock
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._running: Running | None = None
        self._started_s: float | None = None

    @property
    def pid(self) -> int | None:
        """Its process, while there is one."""
        return None if self._process is None else self._process.pid

    async def ensure(self) -> Running:
        """Return the service; it is started when it does not run.

        Raises:
            NotRunning: it cannot be started, or has just died.
        """
        async with self._lock:
            process = self._process
            if self._running is not None and process is not None and process.returncode is None:
                return self._running
            await self._end()
            return await self._start()

    async def stop(self) -> None:
        """End it. Safe to call twice."""
        async with self._lock:
            await self._end()

    async def _start(self) -> Running:
        now_s = self._clock.monotonic_s()
        if self._started_s is not None and now_s - self._started_s < PAUSE_S:
            raise NotRunning("the browser service has just ended; try again in a moment")
        self._started_s = now_s
        settings = self._settings()
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=self._env,
                start_new_session=True,  # so that Ctrl-C in the gateway's terminal is not for it
            )
        except OSError as error:
            raise NotRunning(f"the browser service: {error.strerror}") from None
        said = await self._first_word(process, settings)
        if said.get("event") != "ready" or not isinstance(said.get("port"), int):
            await self._end()
            raise NotRunning(str(said.get("message") or "the browser service did not start"))
        self._running = Running(said["port"], settings.token)
        log.info("browser.started", pid=process.pid)
        return self._running

    async def _first_word(
        self, process: asyncio.subprocess.Process, settings: BrowserSettings
    ) -> dict[str, Any]:
        if process.stdin is None or process.stdout is None:
            return {}
        try:
            async with asyncio.timeout(settings.start_timeout_ms / 1000):
                process.stdin.write(msgspec.json.encode(settings) + b"\n")
                await process.stdin.drain()
                said = msgspec.json.decode(await process.stdout.readline() or b"{}")
        except (TimeoutError, OSError, ValueError, msgspec.DecodeError):
            return {}
        return said if isinstance(said, dict) else {}

    async def _end(self) -> None:
        process, self._process, self._running = self._process, None, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()  # it ends by itself, and Chromium with it
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await process.wait()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        self._started_s = None
