"""A second door to the whole gateway, on a port of 127.0.0.1 that only one neighbour is told of.

Whoever comes through it is known to come by that neighbour's way (`auth.peer`).

Guarantees: any free port, without TLS; closed when `stop` returns, with everything that came in.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from portico.tasks import Tasks
from portico.web.http_wire import http_protocol

BACKLOG = 128


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # type: ignore[explicit-override]  # typing has it since 3.12
        yield


class Entrance:
    """One more door with the same rooms behind it."""

    def __init__(
        self, app: ASGIApp, websocket: type[asyncio.Protocol], *, name: str, tasks: Tasks
    ) -> None:
        self._app = app
        self._websocket = websocket
        self._name = name
        self._tasks = tasks
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Open it; return the port."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        listener.listen(BACKLOG)
        listener.setblocking(False)
        self._server = server = _Server(
            uvicorn.Config(
                self._app,
                ws=self._websocket,
                http=http_protocol(),
                loop="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._serving = self._tasks.start(server.serve(sockets=[listener]), name=self._name)
        return int(listener.getsockname()[1])

    async def stop(self) -> None:
        """Close it. Safe to call twice."""
        serving, self._serving = self._serving, None
        if serving is None or self._server is None:
            return
        self._server.should_exit = self._server.force_exit = True
        await asyncio.wait([serving])
