"""Noticing that somebody has edited the config file, or a file it includes.

The files are looked at, twice a second, by their metadata alone: an editor that writes in place,
one that renames a new file over the old one, a symbolic link that points elsewhere and a file on
another machine look the same that way, and it costs no memory. Only what differs is read.

Guarantees: a change is reported once it has stayed as it is for the debounce time, so that half a
file is rarely read; what is reported late is still reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import structlog

from portico.clock import Clock

log = structlog.get_logger()

LOOK_EVERY_S = 0.5
LONGEST_WAIT_S = 10.0
"""A file that never stays as it is gets read after this long."""

Seen = tuple[tuple[str, int, int, int], ...]


class FileWatch:
    """Looks at files, and tells when they have changed."""

    def __init__(
        self,
        files: Callable[[], Iterable[Path]],
        *,
        changed: Callable[[], Awaitable[None]],
        clock: Clock,
        debounce_s: Callable[[], float],
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        """Take note of how the files are now.

        Args:
            files: asked each time, since what is included may change.
        """
        self._files = files
        self._changed = changed
        self._clock = clock
        self._debounce_s = debounce_s
        self._every_s = every_s
        self._seen = self._look()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            if self._look() == self._seen:
                continue
            await self._settled()
            try:
                await self._changed()
            except Exception as error:
                log.error("config.watch_failed", exc_info=error)

    async def _settled(self) -> None:
        """Wait until the files stay as they are; remember how that is."""
        began_s = self._clock.monotonic_s()
        while True:
            seen = self._look()
            await asyncio.sleep(self._debounce_s())
            overdue = self._clock.monotonic_s() - began_s > LONGEST_WAIT_S
            if self._look() == seen or overdue:
                self._seen = seen
                return

    def _look(self) -> Seen:
        return tuple(_metadata(file) for file in self._files())


def _metadata(file: Path) -> tuple[str, int, int, int]:
    try:
        found = file.stat()  # of what a symbolic link points to
    except OSError:
        return (str(file), 0, 0, 0)
    return (str(file), found.st_ino, found.st_mtime_ns, found.st_size)
