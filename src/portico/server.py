"""The process: sockets, the HTTP server, signals, and the order of starting and stopping.

    SIGTERM, SIGINT, SIGHUP   finish what is under way within `gateway.shutdown.drainMs`, then close
                              every connection; a second one stops at once
    SIGUSR2                   restart: hand over to a new process of the same command line

Guarantees: a stop at any moment loses nothing that was accepted (it is in the database).

Not here: how one process hands over to the next (line.py).
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

import msgspec
import structlog
import uvicorn

from portico import __version__
from portico.app import Gateway
from portico.clock import SystemClock
from portico.line import Belongings, Line
from portico.net import bind
from portico.net.certificate import ensure_certificate, served_fingerprint
from portico.observe.logging import LogSettings, configure_logging
from portico.process.lock import LockInfo, acquire, inherit
from portico.process.notify import Notifier
from portico.succession.estate import sockets_of
from portico.succession.place import PASSED

if TYPE_CHECKING:
    from portico.config import LoadedConfig
    from portico.config.model import PorticoConfig
    from portico.succession.estate import Estate

log = structlog.get_logger()

EXIT_OK = 0
EXIT_STOPPED_NOW = 1
HTTP_IDLE_S = 6.0
"""How long a connection that nothing is asked on is kept for clients that are about to: longer than
uvicorn keeps them."""


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


@dataclass(frozen=True, slots=True)
class Ended:
    """How a gateway's process is over.

    Attributes:
        successor: the pid of the process that goes on, and the pipe on which its line tells of
            itself: this process keeps its place. `None`: nobody goes on, or nobody needs it.
    """

    code: int
    successor: tuple[int, int] | None = None


class _HttpServer(uvicorn.Server):
    """uvicorn without its own signal handling: the gateway decides what a signal means."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # type: ignore[explicit-override]  # typing has it since 3.12
        """Note when the sockets are being listened on."""
        await super().startup(sockets)
        self.listening.set()

    def stop_accepting(self) -> None:
        """Leave new connections to another process; each connection gets one more answer."""
        for server in self.servers:
            server.close()
        close = (b"connection", b"close")
        self.config.encoded_headers.append(close)
        self.server_state.default_headers = [*self.server_state.default_headers, close]
        for connection in self.server_state.connections:
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_started:
                cycle.default_headers = [*cycle.default_headers, close]

    async def emptied(self, *, busy_s: float) -> None:
        """Wait until every HTTP connection is closed, no longer than `busy_s` for the busy ones."""
        clock = SystemClock()
        began_s = clock.monotonic_s()
        while connections := self.server_state.connections:
            waited_s = clock.monotonic_s() - began_s
            is_busy = any(not _is_idle(connection) for connection in connections)
            if waited_s > (busy_s if is_busy else HTTP_IDLE_S):
                return
            await asyncio.sleep(0.05)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # type: ignore[explicit-override]  # typing has it since 3.12
        yield


async def serve(
    loaded: LoadedConfig,
    *,
    env: Mapping[str, str],
    command: Sequence[str] = (),
    on_ready: Callable[[ServerInfo], None],
    estate: Estate | None = None,
) -> Ended:
    """Run the gateway until a signal ends it or a successor has taken over.

    Args:
        env: what the configuration may refer to when it is read again.
        command: the command line that starts a gateway like this one; empty: no restarts.
        estate: what a predecessor left to this process.

    Raises:
        AlreadyRunning: another gateway has this state directory.
        OSError: an address or the port cannot be bound.
    """
    config = loaded.require()
    started_at = SystemClock().now_ms()
    info = LockInfo(
        os.getpid(),
        0,
        started_at,
        "",
        __version__,
        config_path=str(loaded.paths.config_file),
        restarts_on="SIGUSR2",
    )
    path = loaded.paths.lock_file
    lock = acquire(path, info) if estate is None else inherit(path, estate.lock)
    close_log = _open_log(loaded)
    line: Line | None = None
    try:
        ensure_certificate(config, loaded.paths, now_ms=started_at)
        listeners = listen(config, [] if estate is None else sockets_of(estate))
        shown = describe(loaded, listeners)
        info = msgspec.structs.replace(
            info, port=shown.port, url=shown.http_url, addresses=shown.addresses
        )
        if estate is None:
            lock.update(info)
        gateway = Gateway(loaded, env=env, has_company=estate is not None)
        line = Line(
            gateway,
            belongings=Belongings(
                lock=lock, listeners=listeners, command=command, env=env, info=info
            ),
            estate=estate,
            notifier=Notifier(env),
            ready_s=lambda: gateway.ground.live.loaded.require().gateway.restart.ready_ms / 1000,
        )
        return await _run(gateway, listeners, line, lambda: on_ready(shown))
    finally:
        close_log()
        is_shared = estate is not None if line is None else line.is_lock_shared
        (lock.leave if is_shared else lock.release)()


def recovery_of(broken: LoadedConfig, *, env: Mapping[str, str]) -> LoadedConfig:
    """Return what to run with while a file that cannot be used is mended."""
    from portico.wiring.recovery import forget_database, recovery_config

    loaded = recovery_config(broken, env=env)
    forget_database(loaded)
    return loaded


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
    line: Line,
    on_ready: Callable[[], None],
) -> Ended:
    stop = StopSignal()
    server = _HttpServer(_uvicorn_config(gateway))
    with stop.listening(on_restart=lambda: gateway.ground.restarts.request("SIGUSR2")):
        serving = await _come_up(gateway, server, listeners, line, stop)
        gateway.ground.tasks.start(line.notifier.keep_alive(), name="watchdog")
        on_ready()
        log.info("gateway.ready", pid=os.getpid())
        handed_over = await _serve_until_over(gateway, server, serving, line, stop)
        leaving = _retire if handed_over else _drain
        draining = gateway.ground.tasks.start(leaving(gateway, server, line, stop), name="drain")
        forced = gateway.ground.tasks.start(stop.forced.wait(), name="stop-now")
        await asyncio.wait({draining, forced}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        server.force_exit = stop.forced.is_set()
        await asyncio.wait({serving})
        await gateway.stop()
        code = EXIT_STOPPED_NOW if stop.forced.is_set() else EXIT_OK
        if handed_over:
            await _hold_signals(stop, line)
        return Ended(code, await line.end(code, handed_over=handed_over))


async def _come_up(
    gateway: Gateway,
    server: _HttpServer,
    listeners: Sequence[socket.socket],
    line: Line,
    stop: StopSignal,
) -> asyncio.Task[None]:
    """Open the doors; the first process of a line answers probes while it starts."""

    def accept() -> asyncio.Task[None]:
        return gateway.ground.tasks.start(server.serve(sockets=[*listeners]), name="http")

    serving = None if line.has_predecessor else accept()
    await line.greet(on_stop=stop.signalled)
    await gateway.start()
    if serving is None:
        gateway.open()
        serving = accept()
        await server.listening.wait()
    else:
        await server.listening.wait()
        gateway.open()
    await line.take_over()
    return serving


async def _serve_until_over(
    gateway: Gateway,
    server: _HttpServer,
    serving: asyncio.Task[None],
    line: Line,
    stop: StopSignal,
) -> bool:
    """Return when this process has to end; whether a successor goes on."""
    tasks, restarts = gateway.ground.tasks, gateway.ground.restarts
    stopping = tasks.start(stop.requested.wait(), name="stop")
    restarts.supported = True
    while True:
        asked = tasks.start(restarts.wanted.wait(), name="restart-wanted")
        await asyncio.wait({serving, stopping, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            asked.cancel()
            return False
        handing = tasks.start(line.hand_over(server.stop_accepting), name="restart")
        await asyncio.wait({serving, stopping, handing}, return_when=asyncio.FIRST_COMPLETED)
        if line.has_given_up:
            await asyncio.wait({handing})
            return True
        if not handing.done():
            handing.cancel()
            await asyncio.wait({handing})
            return False
        if handing.result():
            return True


async def _drain(gateway: Gateway, _server: _HttpServer, line: Line, _stop: StopSignal) -> None:
    line.notifier.say("STOPPING=1", "STATUS=Finishing what is under way")
    await gateway.shut_down()


async def _retire(gateway: Gateway, server: _HttpServer, line: Line, stop: StopSignal) -> None:
    """Answer what is in flight, let what runs finish: new work is the successor's."""
    attending = gateway.ground.tasks.start(line.attend(), name="line.attend")
    passing = gateway.ground.tasks.start(_pass_on(stop, line), name="line.stop")
    await server.emptied(busy_s=gateway.ground.config.gateway.shutdown.drain_ms / 1000)
    await gateway.shut_down("gateway restarting")
    for task in (attending, passing):
        task.cancel()
    await asyncio.wait({attending, passing})


async def _hold_signals(stop: StopSignal, line: Line) -> None:
    """Let no signal be lost between this process and what keeps its place.

    What comes from now on waits until the keeper asks for it; what came just before is passed on.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED)
    await asyncio.get_running_loop().shutdown_default_executor()  # its threads hold nothing back
    for _ in range(3):  # what had been caught before is seen by the loop
        await asyncio.sleep(0)
    if stop.requested.is_set():
        line.stop_next()


async def _pass_on(stop: StopSignal, line: Line) -> None:
    await stop.requested.wait()
    line.stop_next()


def _is_idle(connection: object) -> bool:
    cycle = getattr(connection, "cycle", None)
    return cycle is None or bool(cycle.response_complete)


class StopSignal:
    """Turns signals into two events: stop, and stop now."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.forced = asyncio.Event()

    @contextlib.contextmanager
    def listening(self, *, on_restart: Callable[[], object]) -> Iterator[None]:
        """Handle the signals while inside; one that is ignored (as under nohup) stays ignored."""
        loop = asyncio.get_running_loop()
        meanings: dict[signal.Signals, Callable[[], object]] = dict.fromkeys(
            (signal.SIGTERM, signal.SIGINT, signal.SIGHUP), self.signalled
        )
        meanings[signal.SIGUSR2] = on_restart
        handled = [one for one in meanings if signal.getsignal(one) is not signal.SIG_IGN]
        for number in handled:
            loop.add_signal_handler(number, meanings[number])
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    def signalled(self) -> None:
        """Note one more signal."""
        if self.requested.is_set():
            self.forced.set()
        self.requested.set()


def listen(
    config: PorticoConfig, inherited: Sequence[socket.socket] = ()
) -> tuple[socket.socket, ...]:
    """Bind the sockets the configuration asks for; an inherited one is used where it fits."""
    chosen = bind.choose(config)
    if chosen.note:
        log.warning("gateway.bind", mode=config.gateway.bind, note=chosen.note)
    port = config.gateway.port
    fitting = {
        listener.getsockname()[0]: listener
        for listener in inherited
        if port in (0, listener.getsockname()[1])
    }
    missing = [host for host in chosen.hosts if host not in fitting]
    if missing:
        taken = next(iter(fitting.values()), None)
        wanted = port if taken is None else taken.getsockname()[1]
        fitting |= dict(zip(missing, bind.listen(missing, wanted), strict=True))
    return tuple(fitting[host] for host in chosen.hosts)


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
    certificate = gateway.ground.certificate
    return uvicorn.Config(
        gateway.front.web.asgi,
        ws=gateway.front.websocket,
        http=gateway.front.http,
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
