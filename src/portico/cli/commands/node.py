"""`portico node`: this machine as a node of a gateway."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from portico import __version__
from portico.cli.command import HERE, THERE, Local, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.node import folder_of, host_of
from portico.cli.output import note, print_fields, print_json
from portico.cli.target import paths_of

if TYPE_CHECKING:
    from portico.config.model import PorticoConfig
    from portico.config.paths import ConfigPaths
    from portico.node_host.host import NodeHost


@command("run")
async def run(
    *,
    pair: str | None = None,
    display_name: str | None = None,
    to: Remote = THERE,
) -> int:
    """Run this machine as a node of a gateway, in this terminal.

    The gateway can then have programs run here (`system.run`), as far as this machine's owner
    allows it: by default a person approves each one that the policy file does not list. Further
    commands, such as camera.snap, are configured under `nodeHost.commands`.

    A new node waits until it is approved at the gateway, twice: as a device, and for what it can
    do. With a setup code both are done already. Without --url and --pair it goes to the gateway it
    was paired with, else to the one of this machine's configuration. With --json the log is one
    JSON object per line.

    Args:
        pair: A setup code of the gateway (`portico qr`), for the first time.
        display_name: What the node is called. [default: nodeHost.displayName, else the host name]

    Examples:
        portico node run
        portico node run --pair "oc-pair://eyJ1cmwiOi…"
        portico node run --url wss://gateway.example.com --display-name workshop --json
    """
    from portico.client import ConnectRefused
    from portico.node_host.children import Children

    paths = paths_of(to)
    config = _config(paths)
    close_log = _log(config, as_json=to.json)
    children = Children()
    try:
        with _alone(paths):
            host = host_of(to, pair, display_name, config=config, paths=paths, children=children)
            await _until_stopped(host)
    except ConnectRefused as refused:
        raise _not_let_in(refused) from None
    finally:
        await children.close()
        close_log()
    return ExitCode.OK


@command("status")
def status(*, here: Local = HERE) -> int:
    """Say whether this machine's node host runs, and how it stands with its gateway.

    Exit code 0: it is connected; 1: it runs, and waits or tries; 3: it does not run.

    Examples:
        portico node status
        portico node status --json
    """
    from portico.node_host.state import read_state
    from portico.process.lock import read_lock

    folder = folder_of(paths_of(here))
    lock, state = read_lock(folder / "lock"), read_state(folder)
    runs = lock is not None and lock.is_held
    standing = state.standing if state is not None and runs else "stopped"
    if here.json:
        shown = _shown(state) | {"running": runs, "standing": standing}
        print_json(shown)
    elif state is None:
        print("No node host has run here. Start one with: portico node run")
    else:
        _print(_shown(state), standing)
    if not runs:
        return ExitCode.UNREACHABLE
    return ExitCode.OK if standing == "connected" else ExitCode.FAILED


def _shown(state: Any) -> dict[str, Any]:
    import msgspec

    return {} if state is None else dict(msgspec.to_builtins(state))


def _print(state: dict[str, Any], standing: str) -> None:
    rows = [("Node host", standing), ("Gateway", state["url"]), ("Node", state["nodeId"])]
    rows += [("Name", state["displayName"]), ("Commands", ", ".join(state.get("commands", ())))]
    if standing == "waiting-for-approval":
        request_id = state.get("requestId") or "REQUEST"
        rows.append(("To do", f"on the gateway: portico devices approve {request_id}"))
    elif state.get("error"):
        rows.append(("Last error", state["error"]))
    print_fields(rows)


def _config(paths: ConfigPaths) -> PorticoConfig:
    from portico.config import load

    return load(paths, env=os.environ).require()


def _log(config: PorticoConfig, *, as_json: bool) -> Callable[[], None]:
    from portico.observe.logging import LogSettings, configure_logging

    settings = LogSettings(
        level=config.logging.level, console_style="json" if as_json else "compact"
    )
    return configure_logging(settings, console=sys.stdout if as_json else sys.stderr)


@contextmanager
def _alone(paths: ConfigPaths) -> Iterator[None]:
    """Two hosts of one state directory would be one node, and put each other out."""
    from portico.clock import SystemClock
    from portico.process.lock import AlreadyRunning, LockInfo, acquire

    folder = folder_of(paths)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    started = SystemClock().now_ms()
    info = LockInfo(pid=os.getpid(), port=0, started_at=started, version=__version__)
    try:
        lock = acquire(folder / "lock", info)
    except AlreadyRunning as running:
        raise Failure(
            f"A node host already runs for {paths.state_dir} (pid {running.pid}).",
            code="node.running",
            next_step="Look at it with: portico node status. Or use another --state-dir.",
            exit_code=ExitCode.REFUSED,
        ) from None
    try:
        yield
    finally:
        lock.release()


async def _until_stopped(host: NodeHost) -> None:
    """Run until the gateway does not want us or somebody stops us."""
    loop, work = asyncio.get_running_loop(), asyncio.current_task()
    if work is None:
        raise RuntimeError("not in a task")
    stopped = asyncio.Event()

    def stop() -> None:
        stopped.set()
        work.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        await host.run()
    except asyncio.CancelledError:
        if not stopped.is_set():
            raise
        work.uncancel()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    note("The node host has stopped.")


def _not_let_in(refused: Any) -> Failure:
    return Failure(
        f"The gateway does not let this node in: {refused}.",
        code="node.unauthorized",
        next_step="Pair it anew with a setup code (portico qr), or give --token",
        exit_code=ExitCode.UNAUTHORIZED,
    )
