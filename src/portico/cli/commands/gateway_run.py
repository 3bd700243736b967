"""`portico run`: load the configuration, start the gateway, say where it is.

Not here: what the gateway is made of, signals and draining (`portico.app`, `portico.server`).
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from portico import __version__
from portico.cli.command import HERE, Local, command
from portico.cli.exit import Failure
from portico.cli.output import note, print_fields, print_json
from portico.cli.target import paths_of

if TYPE_CHECKING:
    from portico.config import ConfigPaths, FirstRun, LoadedConfig
    from portico.server import ServerInfo


@command("run")
def run(
    *,
    port: int | None = None,
    bind: str | None = None,
    verbose: Annotated[bool, Parameter(alias="-v")] = False,
    here: Local = HERE,
) -> int:
    """Run the gateway in this terminal.

    The first run writes a configuration with a fresh token. Ctrl-C (or SIGTERM) finishes what is
    under way and then stops; a second one stops now.

    Args:
        port: Listen here instead of the configured port; 0 picks a free one.
        bind: Listen on loopback, lan, tailnet, auto or custom instead of what is configured.
        verbose: Log everything.

    Examples:
        portico run
        portico run --port 0 --verbose
        portico gateway run --bind lan
        portico run --state-dir ./try
    """
    from portico.config import ensure_first_run, ensure_token, load_or_last_good

    paths = paths_of(here)
    first = ensure_first_run(paths)
    overrides = {"gateway.port": port, "gateway.bind": bind}
    overrides |= {"logging.level": "debug" if verbose else None}
    chosen: dict[str, Any] = {key: value for key, value in overrides.items() if value is not None}
    with _objects_that_stay():
        loaded = load_or_last_good(paths, env=os.environ, overrides=chosen)
        if ensure_token(loaded, env=os.environ):
            note(f"note: made gateway.auth.token in {paths.config_file}: it had none")
            loaded = load_or_last_good(paths, env=os.environ, overrides=chosen)
        _report(loaded)
        loaded.require_startable()
        return _serve(loaded, first, as_json=here.json)


@contextlib.contextmanager
def _objects_that_stay() -> Iterator[None]:
    """Collect no garbage until the gateway is ready: nearly all that is made by then stays."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _report(loaded: LoadedConfig) -> None:
    for issue in (*loaded.startup_issues, *loaded.warnings):
        if issue.severity == "warning":
            note(f"warning: {issue.render()}")
    if idle := [issue.path for issue in loaded.warnings if issue.severity == "note"]:
        note(f"note: accepted, but not used by this version: {', '.join(idle)}")
    if loaded.from_last_good:
        for issue in loaded.issues:
            note(f"error: {issue.render()}")
        note(f"warning: running with the last good configuration, {loaded.paths.last_good}")


def _serve(loaded: LoadedConfig, first: FirstRun, *, as_json: bool) -> int:
    import asyncio

    import uvloop

    from portico.config import remember_good
    from portico.observe.lean import import_structlog

    import_structlog()
    from portico.server import serve

    def on_ready(server: ServerInfo) -> None:
        gc.freeze()  # no collection looks at any of it again
        gc.enable()
        if not loaded.from_last_good:
            remember_good(loaded)
        if as_json:
            print_json(_ready(server, loaded.paths), indent=None)
        else:
            _banner(server, loaded, first)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(serve(loaded, env=os.environ, on_ready=on_ready))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _port_taken(loaded.require().gateway.port) from None
        raise


def _port_taken(port: int) -> Failure:
    from portico.cli.doctor.host_checks import owner_name

    return Failure(
        f"Port {port} is taken by {owner_name(port)}.",
        code="port.taken",
        next_step=f"Stop it, or use another port: portico run --port {port + 1}",
    )


def _ready(server: ServerInfo, paths: ConfigPaths) -> dict[str, Any]:
    return {
        "event": "ready",
        "version": __version__,
        "pid": server.pid,
        "url": server.http_url,
        "wsUrl": server.ws_url,
        "config": str(paths.config_file),
        "stateDir": str(paths.state_dir),
        "log": str(paths.log_file),
    }


def _banner(server: ServerInfo, loaded: LoadedConfig, first: FirstRun) -> None:
    config = loaded.require()
    agent = config.agents.default_id()
    # The token belongs on the owner's screen, not in whatever a pipe writes to.
    page = server.ui_url if sys.stdout.isatty() else server.http_url + "/"
    _title(f"Portico {__version__}")
    print_fields(
        (
            ("  Page", page),
            ("  WebSocket", server.ws_url),
            ("  Agent", f"{agent} ({config.agents.runtime_for(agent).type})"),
            ("  Config", f"{loaded.paths.config_file}{' (new)' if first.created else ''}"),
            ("  State", loaded.paths.state_dir),
            ("  Log", config.logging.file or loaded.paths.log_file),
        )
    )
    if page != server.ui_url:
        print("\n  The page asks for the token: portico config get gateway.auth.token --reveal")
    print("\n  Stop with Ctrl-C.\n", flush=True)


def _title(text: str) -> None:
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        print(f"\n  \x1b[1;36m⌂ {text}\x1b[0m\n")
    else:
        print(f"\n  {text}\n")
