"""The gateway's own process: what `portico run` becomes once it has understood its command line.

The library that reads command lines stays behind: in a process that runs for months it would be
9 MB for nothing. The process id, the terminal and the environment stay the same.

Not here: what the gateway is made of, signals and draining (`portico.app`, `portico.server`).
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NoReturn

from portico import __version__
from portico.cli.exit import Failure
from portico.cli.explain import exit_code_of
from portico.cli.output import note, print_fields, print_json

if TYPE_CHECKING:
    from portico.config import ConfigPaths, FirstRun, LoadedConfig
    from portico.server import Ended, ServerInfo
    from portico.store.unusable import DatabaseUnusable
    from portico.succession.estate import Estate


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the command line said; `None`: as configured.

    Attributes:
        failed: the hash of a text of the config file with which a gateway did not come up.
        because: why.
    """

    port: int | None = None
    bind: str | None = None
    verbose: bool = False
    config: str | None = None
    state_dir: str | None = None
    json: bool = False
    failed: str | None = None
    because: str = ""


def become(run: Run) -> NoReturn:
    """Replace this process by a gateway's."""
    options = takewhile(lambda word: word not in {"-m", sys.argv[0]}, sys.orig_argv[1:])
    # Where the command came from is on the module path only if Python itself had put it there.
    safe = () if os.getcwd() in sys.path[:1] else ("-P",)  # noqa: PTH109  # as Python spells it
    _exec([*options, *safe, "-m", "portico.cli.gateway", json.dumps(asdict(run))])


def _exec(words: list[str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    # Our own interpreter, no shell.
    os.execv(sys.executable, [sys.executable, *words])  # noqa: S606


def run_gateway(run: Run) -> int:
    """Run a gateway until a signal ends it; return the exit code.

    When a successor has taken over, this process keeps its place until the last one ends.

    Raises:
        ConfigError: the configuration is broken or unsafe.
        AlreadyRunning: another gateway has the state directory.
        Failure: the port is taken.
    """
    from portico.succession.estate import report_failure, take_estate

    estate = take_estate(os.environ)
    try:
        ended = _run_gateway(run, estate)
    except BaseException as error:
        report_failure(estate, error)
        raise
    if ended.successor is not None:
        _keep_place(*ended.successor)
    return ended.code


def _keep_place(pid: int, pipe: int) -> NoReturn:
    from portico.succession import place

    _exec(["-I", "-S", place.__file__, str(pid), str(pipe)])


def _run_gateway(run: Run, estate: Estate | None) -> Ended:
    from portico.config import ensure_first_run, ensure_token, load_or_last_good, resolve_paths
    from portico.config.service import last_good_instead

    paths = resolve_paths(env=os.environ, config=run.config, state_dir=run.state_dir)
    first = ensure_first_run(paths)
    overrides = {"gateway.port": run.port, "gateway.bind": run.bind}
    overrides |= {"logging.level": "debug" if run.verbose else None}
    chosen: dict[str, Any] = {key: value for key, value in overrides.items() if value is not None}
    with _objects_that_stay():
        loaded = load_or_last_good(paths, env=os.environ, overrides=chosen)
        if ensure_token(loaded, env=os.environ):
            note(f"note: made gateway.auth.token in {paths.config_file}: it had none")
            loaded = load_or_last_good(paths, env=os.environ, overrides=chosen)
        if estate is None and run.failed is not None and run.failed == loaded.hash:
            loaded = last_good_instead(loaded, run.because, env=os.environ) or loaded
        _report(loaded)
        if _needs_recovery(loaded, run):
            if estate is not None:  # whoever runs now goes on, and does better than recovery
                loaded.require_startable()
            loaded = _recovery(loaded)
        return _serve_or_fall_back(run, loaded, first, estate)


def _serve_or_fall_back(
    run: Run, loaded: LoadedConfig, first: FirstRun, estate: Estate | None
) -> Ended:
    """Serve; with the last good text, in a process made afresh, when this one does not come up."""
    from portico.config.service import last_good_instead
    from portico.process.lock import AlreadyRunning

    has_come_up = False

    def note_ready() -> None:
        nonlocal has_come_up
        has_come_up = True

    try:
        return _serve(loaded, first, estate, as_json=run.json, on_up=note_ready)
    except AlreadyRunning:
        raise
    except Exception as error:
        why = str(error) or type(error).__name__
        is_hopeless = has_come_up or estate is not None or run.failed is not None
        if is_hopeless or last_good_instead(loaded, why, env=os.environ) is None:
            raise
        again = replace(run, failed=loaded.hash, because=why)
    _exec([*sys.orig_argv[1:-1], json.dumps(asdict(again))])


def _needs_recovery(loaded: LoadedConfig, run: Run) -> bool:
    """Whether the file cannot be used; what the command line asks for is refused instead.

    Raises:
        ConfigError: nothing is to be started here.
    """
    from portico.config import ConfigError

    try:
        loaded.require_startable()
    except ConfigError as error:
        is_for_clients = any(one.code == "mode.remote" for one in error.issues)
        if is_for_clients or (loaded.config is not None and run.bind is not None):
            raise
        return True
    return False


def _recovery(broken: LoadedConfig) -> LoadedConfig:
    from portico.observe.lean import import_lean

    import_lean()
    from portico.server import recovery_of

    loaded = recovery_of(broken, env=os.environ)
    for issue in loaded.issues:
        note(f"error: {issue.render()}")
    note("warning: recovery mode: nothing is answered until the configuration is mended")
    return loaded


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


def _serve(
    loaded: LoadedConfig,
    first: FirstRun,
    estate: Estate | None,
    *,
    as_json: bool,
    on_up: Callable[[], None],
) -> Ended:
    import asyncio

    import uvloop

    from portico.config import remember_good
    from portico.observe.lean import import_lean

    import_lean()
    from portico.server import serve
    from portico.store.unusable import DatabaseUnusable

    def on_ready(server: ServerInfo) -> None:
        gc.freeze()  # no collection looks at any of it again
        gc.enable()
        on_up()
        if not loaded.from_last_good:
            remember_good(loaded)
        if as_json:
            print_json(_ready(server, loaded.paths, is_recovery=loaded.is_recovery), indent=None)
        else:
            _banner(server, loaded, first)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(
                serve(
                    loaded,
                    env=os.environ,
                    command=[sys.executable, *sys.orig_argv[1:]],
                    on_ready=on_ready,
                    estate=estate,
                )
            )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _port_taken(loaded.require().gateway.port) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise _no_such_address(error.filename) from None
        raise
    except DatabaseUnusable as error:
        raise _no_database(error) from None


def _port_taken(port: int) -> Failure:
    from portico.cli.doctor.host_checks import owner_name

    return Failure(
        f"Port {port} is taken by {owner_name(port)}.",
        code="port.taken",
        next_step=f"Stop it, or use another port: portico run --port {port + 1}",
    )


def _no_such_address(host: str | None) -> Failure:
    return Failure(
        f"This machine does not have the address {host}.",
        code="bind.address",
        next_step="Set gateway.customBindHost to one it has, or gateway.bind to loopback or lan",
    )


def _no_database(error: DatabaseUnusable) -> Failure:
    return Failure(
        f"{str(error)[0].upper()}{str(error)[1:]}.",
        code="store.unusable",
        next_step="Look at store.url with: portico config get store. Nothing was changed.",
    )


def _ready(server: ServerInfo, paths: ConfigPaths, *, is_recovery: bool = False) -> dict[str, Any]:
    return {
        "event": "ready",
        "version": __version__,
        "pid": server.pid,
        "url": server.http_url,
        "wsUrl": server.ws_url,
        "addresses": list(server.addresses),
        **({"tlsSha256": server.tls_sha256} if server.tls_sha256 else {}),
        "config": str(paths.config_file),
        "stateDir": str(paths.state_dir),
        "log": str(paths.log_file),
        **({"recovery": True} if is_recovery else {}),
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
            ("  Also at", ", ".join(server.addresses[1:]) or None),
            ("  TLS sha256", server.tls_sha256),
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


def main() -> int:
    """Run the gateway that the one argument describes."""
    run = Run(**json.loads(sys.argv[1]))
    return exit_code_of(lambda: run_gateway(run), as_json=run.json)


if __name__ == "__main__":
    sys.exit(main())
