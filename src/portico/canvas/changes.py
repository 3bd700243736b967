"""Tells open pages that their files have changed.

Guarantees: a folder is watched only while somebody waits for it, by one watcher for all; there are
no more watchers and waiting pages than configured; a change is told once it has been quiet for a
moment, and one that comes while nobody looks is not lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import structlog

from portico.canvas.settings import CanvasSettings
from portico.tasks import Tasks

log = structlog.get_logger()

QUIET_MS = 100
"""How long nothing must have happened."""
STEP_MS = 50


class TooManyViewers(Exception):
    """No more pages can wait for changes, or the gateway stops."""


class Viewer:
    """One open page."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def tell(self) -> None:
        """Note a change."""
        self._changed.set()

    async def changed(self, *, within_s: float) -> bool:
        """Wait for the next change; return whether there was one in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._changed.wait()
        has_changed = self._changed.is_set()
        self._changed.clear()
        return has_changed


class _Watched:
    """A folder and who looks at it."""

    def __init__(self) -> None:
        self.viewers: set[Viewer] = set()
        self.stop = asyncio.Event()


class Changes:
    """Every watched folder."""

    def __init__(self, *, tasks: Tasks, settings: CanvasSettings) -> None:
        self._tasks = tasks
        self._settings = settings
        self._watched: dict[Path, _Watched] = {}
        self.is_closed = False

    def __len__(self) -> int:
        return len(self._watched)

    def close(self) -> None:
        """Tell every page a last time; nobody follows anything from now on."""
        self.is_closed = True
        for watched in self._watched.values():
            for viewer in watched.viewers:
                viewer.tell()

    @contextlib.contextmanager
    def following(self, folder: Path) -> Iterator[Viewer]:
        """Follow the changes below a directory while inside.

        Raises:
            TooManyViewers: there are as many already as there may be.
        """
        watched, viewer = self._enter(folder), Viewer()
        watched.viewers.add(viewer)
        try:
            yield viewer
        finally:
            watched.viewers.discard(viewer)
            if not watched.viewers:
                watched.stop.set()
                if self._watched.get(folder) is watched:
                    del self._watched[folder]

    def _enter(self, folder: Path) -> _Watched:
        viewers = sum(len(one.viewers) for one in self._watched.values())
        if self.is_closed or viewers >= self._settings.max_viewers:
            raise TooManyViewers
        watched = self._watched.get(folder)
        if watched is None:
            if len(self._watched) >= self._settings.max_watched:
                raise TooManyViewers
            watched = self._watched[folder] = _Watched()
            self._tasks.start(self._watch(folder, watched), name="canvas.watch")
        return watched

    async def _watch(self, folder: Path, watched: _Watched) -> None:
        try:
            async for _ in _changes(folder, watched.stop):
                for viewer in watched.viewers:
                    viewer.tell()
        except OSError as error:  # it is gone, or the system watches enough already
            log.warning("canvas.not_watched", error=str(error))
        finally:
            if self._watched.get(folder) is watched:
                del self._watched[folder]


async def _changes(folder: Path, stop: asyncio.Event) -> AsyncIterator[None]:
    from watchfiles import awatch  # most gateways never need it

    async for _ in awatch(
        folder, stop_event=stop, debounce=QUIET_MS, step=STEP_MS, rust_timeout=1_000
    ):
        yield
