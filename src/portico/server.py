"""The process: sockets, the HTTP server, signals, and the order of starting and stopping.

Guarantees: the first SIGTERM or SIGINT finishes what is under way within `gateway.shutdown.drainMs`
and then closes every connection; a second one stops at once. A stop at any moment loses nothing
that was accepted (it is in the database).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import uvicorn

from portico import __version__, bind
from portico.app import Gateway
from portico.certificate import ensure_certificate, served_fingerprint
from portico.clock import SystemClock
from portico.lock import LockInfo, acquire
from portico.observe.logging import LogSettings, configure_logging

if TYPE_CHECKING:
    from portico.config import LoadedConfig
    from portico.config.model import PorticoConfig

log = structlog.get_logger()

EXIT_OK = 0
EXIT_STOPPED_NOW = 1


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Where a running gateway is. `ui_url` carries the token: for the owner only.

    Attributes:
        addresses: every URL it can be reached at; `http_url`, the one for this machine, first.
        tls_sha256: of the certificate it shows, in hex; `None`: it has no TLS.
    """

    http_url: str
    ws_url: str
    ui_url: str
    port: int
    pid: int
    addresses: tuple[str, ...] = ()
    tls_sha256: str | None = None


class _HttpServer(uvicorn.Server):
    """uvicorn without its own signal handling: the gateway decides what a signal means."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # type: ignore[explicit-override]  # typing has it since 3.12
        """Note when the sockets are being listened on."""
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # type: ignore[explicit-override]  # typing has it since 3.12
        yield


async def serve(
    loaded: LoadedConfig, *, env: Mapping[str, str], on_ready: Callable[[ServerInfo], None]
) -> int:
    """Run the gateway until a signal ends it; return the exit code.

    Args:
        env: what the configuration may refer to when it is read again.

    Raises:
        AlreadyRunning: another gateway has this state directory.
        OSError: an address or the port cannot be bound.
    """
    config = loaded.require()
    started_at = SystemClock().now_ms()
    lock = acquire(loaded.paths.lock_file, LockInfo(os.getpid(), 0, started_at, "", __version__))
    close_log = _open_log(loaded)
    try:
        ensure_certificate(config, loaded.paths, now_ms=started_at)
        listeners = listen(config)
        info = describe(loaded, listeners)
        lock.update(
            LockInfo(info.pid, info.port, started_at, info.http_url, __version__, info.addresses)
        )
        gateway = Gateway(loaded, env=env)
        return await _run(gateway, listeners, info, on_ready)
    finally:
        close_log()
        lock.release()


def _open_log(loaded: LoadedConfig) -> Callable[[], None]:
    settings, auth = loaded.require().logging, loaded.require().gateway.auth
    file = Path(settings.file) if settings.file else loaded.paths.log_file
    return configure_logging(
        LogSettings(level=settings.level, file=file, console_style=settings.console_style),
        secrets=tuple(secret for secret in (auth.token, auth.password) if secret),
    )


async def _run(
    gateway: Gateway,
    listeners: Sequence[socket.socket],
    info: ServerInfo,
    on_ready: Callable[[ServerInfo], None],
) -> int:
    stop = StopSignal()
    server = _HttpServer(_uvicorn_config(gateway))
    serving = gateway.tasks.start(server.serve(sockets=list(listeners)), name="http")
    with stop.listening():
        await gateway.start()
        await server.listening.wait()
        gateway.open()
        on_ready(info)
        log.info("gateway.ready", url=info.http_url, pid=info.pid)
        await asyncio.wait(
            {serving, gateway.tasks.start(stop.requested.wait(), name="stop")},
            return_when=asyncio.FIRST_COMPLETED,
        )
        draining = gateway.tasks.start(gateway.shut_down(), name="drain")
        forced = gateway.tasks.start(stop.forced.wait(), name="stop-now")
        await asyncio.wait({draining, forced}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        server.force_exit = stop.forced.is_set()
        await asyncio.wait({serving})
        await gateway.stop()
    return EXIT_STOPPED_NOW if stop.forced.is_set() else EXIT_OK


class StopSignal:
    """Turns signals into two events: stop, and stop now."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.forced = asyncio.Event()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT while inside."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.signalled)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def signalled(self) -> None:
        """Note one more signal."""
        if self.requested.is_set():
            self.forced.set()
        self.requested.set()


def listen(config: PorticoConfig) -> tuple[socket.socket, ...]:
    """Bind the sockets the configuration asks for."""
    chosen = bind.choose(config)
    if chosen.note:
        log.warning("gateway.bind", mode=config.gateway.bind, note=chosen.note)
    return bind.listen(chosen.hosts, config.gateway.port)


def describe(loaded: LoadedConfig, listeners: Sequence[socket.socket]) -> ServerInfo:
    """Return where a listening gateway can be reached."""
    config = loaded.require()
    tls = "s" if config.gateway.tls.enabled else ""
    addresses = bind.urls(listeners, f"http{tls}")
    base = addresses[0]
    path = config.gateway.control_ui.base_path.rstrip("/")
    token = config.gateway.auth.token
    fragment = f"#token={token}" if token else ""
    return ServerInfo(
        http_url=base,
        ws_url=f"ws{base.removeprefix('http')}/",
        ui_url=f"{base}{path}/{fragment}",
        port=int(listeners[0].getsockname()[1]),
        pid=os.getpid(),
        addresses=addresses,
        tls_sha256=served_fingerprint(config, loaded.paths),
    )


def _uvicorn_config(gateway: Gateway) -> uvicorn.Config:
    certificate = gateway.certificate
    return uvicorn.Config(
        gateway.web.asgi,
        ws=gateway.websocket,
        http="httptools",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=bind.BACKLOG,
        timeout_graceful_shutdown=2,
        ssl_context_factory=(lambda *_: certificate.open()) if certificate.is_on else None,
    )
