"""The server-sent events an open page of the canvas waits for: one for every change of its files.

Guarantees: a stream ends within `BEAT_S` when the capability it came with does, and at once when
the gateway stops.

Source: HTML, "Server-sent events".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from portico.canvas.changes import Changes, TooManyViewers, Viewer
from portico.web.problem import problem

BEAT_S = 5.0


class ChangeStream:
    """The answer to one page.

    Args:
        is_good: says whether the page may go on waiting, and notes that it does.
    """

    def __init__(
        self,
        folder: Path,
        *,
        changes: Changes,
        is_good: Callable[[], bool],
        headers: Mapping[str, str],
    ) -> None:
        self._folder = folder
        self._changes = changes
        self._is_good = is_good
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the page is closed."""
        try:
            with self._changes.following(self._folder) as viewer:
                answer = StreamingResponse(
                    self._events(viewer), media_type="text/event-stream", headers=self._headers
                )
                await answer(scope, receive, send)
        except TooManyViewers:
            busy = problem(503, "unavailable", "Too many pages are open.", {"retry-after": "30"})
            await busy(scope, receive, send)

    async def _events(self, viewer: Viewer) -> AsyncIterator[bytes]:
        yield b"retry: 2000\n\n"
        while self._is_good():
            has_changed = await viewer.changed(within_s=BEAT_S)
            if self._changes.is_closed:
                return
            yield b"event: changed\ndata: {}\n\n" if has_changed else b": beat\n\n"
