"""A second port of the same process, with one app and no WebSockets.

Guarantees: a port that is taken is tried again until it is free, and the gateway starts meanwhile;
`stop` returns when the port is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog
import uvicorn
from starlette.types import ASGIApp

from portico.net import bind
from portico.tasks import Tasks
from portico.web.http_wire import http_protocol

log = structlog.get_logger()

RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class SecondPortSettings:
    """Where it listens.

    Attributes:
        hosts: addresses.
        port: 0 picks a free one.
        tls: makes its TLS context; `None`: without TLS.
    """

    hosts: tuple[str, ...]
    port: int
    tls: Callable[[], ssl.SSLContext] | None = None


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # type: ignore[explicit-override]  # typing has it since 3.12
        yield


class SecondPort:
    """Serves an app on a port of its own."""

    def __init__(
        self, app: ASGIApp, *, name: str, tasks: Tasks, settings: SecondPortSettings
    ) -> None:
        self._name = name
        self._tasks = tasks
        self._settings = settings
        self._server = _Server(_uvicorn_config(app, settings))
        self._serving: asyncio.Task[None] | None = None
        self.port = 0

    def start(self) -> None:
        """Begin to listen, as soon as the port is free."""
        self._serving = self._tasks.start(self._serve(), name=self._name)

    async def stop(self) -> None:
        """Close the port. Safe to call twice."""
        serving, self._serving = self._serving, None
        if serving is None:
            return
        self._server.should_exit = self._server.force_exit = True
        if not self.port:
            serving.cancel()
        await asyncio.wait([serving])
        self.port = 0

    async def _serve(self) -> None:
        listeners = await self._listeners()
        self.port = listeners[0].getsockname()[1]
        log.info("port.open", name=self._name, hosts=self._settings.hosts, port=self.port)
        await self._server.serve(sockets=list(listeners))

    async def _listeners(self) -> tuple[socket.socket, ...]:
        has_said_so = False
        while True:
            try:
                return bind.listen(self._settings.hosts, self._settings.port)
            except OSError as error:
                if not has_said_so:
                    log.warning("port.taken", name=self._name, error=str(error))
                has_said_so = True
            await asyncio.sleep(RETRY_S)


def _uvicorn_config(app: ASGIApp, settings: SecondPortSettings) -> uvicorn.Config:
    tls = settings.tls
    return uvicorn.Config(
        app,
        ws="none",
        http=http_protocol(),
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        ssl_context_factory=None if tls is None else lambda *_: tls(),
    )
