"""What both message APIs do with an open HTTP request: watch for its end, and write events to it.

Guarantees: a client that leaves is noticed while it waits and while nothing is written; the work
done for it is cancelled then, and whoever asked is told once.

Source: ASGI specification, "HTTP connection scope"; WHATWG HTML, "Server-sent events".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import anyio
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from portico.tasks import Tasks

SSE = "text/event-stream"
HEARTBEAT = b": keep-alive\n\n"
CLIENT_GONE = 499  # nobody reads it; the log does

T = TypeVar("T")


async def unless_gone(request: Request, work: Coroutine[Any, Any, T], *, tasks: Tasks) -> T | None:
    """Await a work while the client waits for it; `None` when it left."""
    waiting = asyncio.current_task()
    left = False

    async def watch() -> None:
        nonlocal left
        while (await request.receive())["type"] != "http.disconnect":
            continue
        left = True
        if waiting is not None:
            waiting.cancel()

    watching = tasks.start(watch(), name="http.watch")
    try:
        return await work
    except asyncio.CancelledError:
        if not left or waiting is None or waiting.uncancel():
            raise  # the gateway stops
        return None
    finally:
        watching.cancel()


class EventStream:
    """An answer of server-sent events, written as they come.

    Args:
        on_gone: called when the client leaves before the last event.
    """

    def __init__(
        self, events: AsyncGenerator[bytes, None], *, on_gone: Callable[[], None] = lambda: None
    ) -> None:
        self._events = events
        self._on_gone = on_gone
        self._finished = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache, no-transform"),
            (b"x-accel-buffering", b"no"),
        ]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with anyio.create_task_group() as group:
                group.start_soon(self._watch, receive, group.cancel_scope)
                await self._write(scope, send)
                group.cancel_scope.cancel()
        except OSError:
            return  # the client is gone in the middle of a write
        finally:
            if not self._finished:
                self._on_gone()

    async def _write(self, scope: Scope, send: Send) -> None:
        async with aclosing(self._events) as events:
            if scope["method"] != "HEAD":
                async for event in events:
                    await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        self._finished = True

    @staticmethod
    async def _watch(receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        scope.cancel()
