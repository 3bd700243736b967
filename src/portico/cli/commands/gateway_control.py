"""`portico gateway stop | restart | status`: by the lock file of this machine's state directory."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from portico.cli.command import HERE, THERE, Local, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import duration, print_fields, print_json
from portico.cli.target import (
    client_settings,
    connected,
    own_fingerprint,
    paths_of,
    resolve_target,
)
from portico.client import ConnectRefused, GatewayClient
from portico.clock import SystemClock
from portico.config.first_run import make_private_directory
from portico.config.paths import ConfigPaths
from portico.process.lock import LockInfo, read_lock

_POLL_S: Final = 0.05
_START_S: Final = 30.0
RESTART_S: Final = 150.0
"""Longer than `gateway.restart.readyMs` usually is, and the time the old one takes to give up."""


def running(paths: ConfigPaths) -> LockInfo | None:
    """What the running gateway says of itself; `None` when none runs."""
    state = read_lock(paths.lock_file)
    if state is None or not state.is_held:
        return None
    if state.info is None:
        raise Failure(
            f"A gateway holds {state.path}, but the file does not say which.",
            code="lock.unreadable",
            next_step="Try again in a moment; then look with: portico doctor",
        )
    return state.info


@command("stop")
def stop(*, wait: float = 30.0, force: bool = False, here: Local = HERE) -> int:
    """Stop the gateway of this machine.

    It finishes what is under way first. Stopping a gateway that does not run is no error.

    Args:
        wait: Seconds to wait for it to end. [default: 30]
        force: Kill it when it has not ended by then. Nothing acknowledged is lost by that.

    Examples:
        portico gateway stop
        portico gateway stop --wait 5 --force
    """
    stopped = _stop(paths_of(here), wait_s=wait, force=force)
    if here.json:
        print_json({"stopped": stopped is not None, "pid": stopped})
    else:
        print("The gateway was not running." if stopped is None else f"Stopped (pid {stopped}).")
    return ExitCode.OK


def _stop(paths: ConfigPaths, *, wait_s: float, force: bool) -> int | None:
    info = running(paths)
    if info is None:
        return None
    _signal(info.pid, signal.SIGTERM)
    if _ended(paths, info.pid, wait_s):
        return info.pid
    if not force:
        raise Failure(
            f"The gateway (pid {info.pid}) has not ended after {wait_s:g} s.",
            code="gateway.stop_timeout",
            next_step="Wait longer with --wait, or kill it: portico gateway stop --force",
        )
    _signal(info.pid, signal.SIGKILL)
    if not _ended(paths, info.pid, wait_s):
        raise Failure(f"The gateway (pid {info.pid}) cannot be killed.", code="gateway.stop_failed")
    return info.pid


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        raise Failure(
            f"The gateway (pid {pid}) belongs to another user.",
            code="gateway.not_yours",
            next_step="Stop it as the user who started it",
            exit_code=ExitCode.UNAUTHORIZED,
        ) from None


def _ended(paths: ConfigPaths, pid: int, wait_s: float) -> bool:
    """Wait until the process lets go of its lock, as the kernel makes it do when it ends."""
    clock = SystemClock()
    deadline = clock.monotonic_s() + wait_s
    while True:
        state = read_lock(paths.lock_file)
        if state is None or not state.is_held or (state.info and state.info.pid != pid):
            return True
        if clock.monotonic_s() > deadline:
            return False
        time.sleep(_POLL_S)


@command("restart")
def restart(
    *,
    port: int | None = None,
    bind: str | None = None,
    verbose: bool = False,
    wait: float = 30.0,
    force: bool = False,
    hard: bool = False,
    here: Local = HERE,
) -> int:
    """Restart the gateway without a gap.

    A new process with the same flags takes over when it is ready; if it does not become ready, the
    old one goes on and this says why. With --hard, --port, --bind, --verbose or --force the old one
    is stopped first, and the new one starts in the background, in a session of its own; what it
    prints goes to gateway.out in the state directory's logs. When none runs, this starts one.

    Args:
        port: Listen here instead of the configured port; 0 picks a free one.
        bind: Listen on loopback, lan, tailnet, auto or custom instead of what is configured.
        verbose: Log everything.
        wait: Seconds to wait for the old one to end. [default: 30]
        force: Kill the old one when it has not ended by then.
        hard: Stop it first, and start another one.

    Examples:
        portico gateway restart
        portico gateway restart --hard
        portico gateway restart --port 18790
    """
    paths = paths_of(here)
    info = running(paths)
    wants_other = hard or force or verbose or port is not None or bind is not None
    if info is not None and info.restarts_on and not wants_other:
        return _replace(paths, info, as_json=here.json)
    stopped = _stop(paths, wait_s=wait, force=force)
    flags = ["--port", str(port)] if port is not None else []
    flags += ["--bind", bind] if bind is not None else []
    flags += ["--verbose"] if verbose else []
    output = paths.log_file.with_name("gateway.out")
    info = _start(paths, flags, output)
    if here.json:
        started = {"pid": info.pid, "url": info.url, "stoppedPid": stopped}
        print_json({**started, "output": str(output)})
    else:
        print(f"The gateway runs at {info.url} (pid {info.pid}).")
        print(f"Its output: {output}")
    return ExitCode.OK


def _replace(paths: ConfigPaths, before: LockInfo, *, as_json: bool) -> int:
    """Have the gateway hand over to a new process, and wait for the outcome."""
    _signal(before.pid, signal.Signals[before.restarts_on])
    now = _after_restart(paths, before)
    if now.pid == before.pid:
        why = now.last_restart.reason if now.last_restart else "it does not say why"
        raise Failure(
            f"The new process did not become ready, the old one goes on: {why}",
            code="gateway.restart_rolled_back",
            next_step="Mend that, or look with: portico doctor",
        )
    if as_json:
        print_json({"pid": now.pid, "url": now.url, "stoppedPid": before.pid, "gap": False})
    else:
        print(f"The gateway runs at {now.url} (pid {now.pid}); no connection was refused.")
    return ExitCode.OK


def _after_restart(paths: ConfigPaths, before: LockInfo) -> LockInfo:
    """Return what the lock says when the restart has gone one way or the other."""
    clock = SystemClock()
    deadline = clock.monotonic_s() + RESTART_S
    while clock.monotonic_s() < deadline:
        now = running(paths)
        if now is None:
            raise Failure(
                "The gateway ended while it restarted.",
                code="gateway.restart_failed",
                next_step="portico logs tail",
            )
        if now.last_restart is not None and now.last_restart != before.last_restart:
            return now
        time.sleep(_POLL_S)
    raise Failure(
        f"The gateway (pid {before.pid}) has not restarted after {RESTART_S:g} s.",
        code="gateway.restart_timeout",
        next_step="portico logs tail",
    )


def _start(paths: ConfigPaths, flags: list[str], output: Path) -> LockInfo:
    for directory in (paths.state_dir, output.parent):
        make_private_directory(directory)
    files = ["--config", str(paths.config_file), "--state-dir", str(paths.state_dir)]
    with output.open("ab") as log:
        offset = log.tell()
        process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-m", "portico", "run", *files, *flags],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    clock = SystemClock()
    deadline = clock.monotonic_s() + _START_S
    while clock.monotonic_s() < deadline:
        if process.poll() is not None:
            said = output.read_bytes()[offset:].decode(errors="replace").strip()
            raise Failure(
                f"The gateway did not start (exit code {process.returncode}):\n{said[-2000:]}",
                code="gateway.start_failed",
                next_step="portico doctor",
            )
        info = running(paths) if paths.lock_file.exists() else None
        if info is not None and info.pid == process.pid and info.url:
            asyncio.run(_wait_ready(info.url, paths, deadline - clock.monotonic_s()))
            return info
        time.sleep(_POLL_S)
    raise Failure(
        f"The gateway (pid {process.pid}) is not ready after {_START_S:g} s.",
        code="gateway.start_timeout",
        next_step=f"Look at {output}",
    )


async def _wait_ready(url: str, paths: ConfigPaths, patience_s: float) -> None:
    """Wait until the gateway takes clients; a refusal of ours is an answer, too."""
    to = Remote(url=url, config=str(paths.config_file), state_dir=str(paths.state_dir))
    target = resolve_target(to)
    settings = client_settings(target, timeout_s=max(patience_s, 1))
    while True:
        try:
            async with GatewayClient(settings):
                return
        except ConnectRefused as refused:
            if refused.is_final:
                return
            await asyncio.sleep(_POLL_S)


@command("status")
async def status(*, to: Remote = THERE) -> int:
    """Say whether the gateway runs, and how.

    Exit code 0: it runs and answers; 3: it does not run.

    Examples:
        portico gateway status
        portico gateway status --json
    """
    target = resolve_target(to)
    info = running(target.paths) if target.is_own else None
    if info is None and target.is_own:
        return _not_running(target.paths, as_json=to.json)
    found: dict[str, Any] = {"running": True}
    if info is None:
        found |= {"url": target.url}
    else:
        uptime_s = max(0, SystemClock().now_ms() - info.started_at) / 1000
        found |= {"pid": info.pid, "port": info.port, "url": info.url, "uptimeS": round(uptime_s)}
        found |= {"addresses": list(info.addresses), "tlsSha256": own_fingerprint(target.paths)}
        if info.last_restart is not None:
            found["lastRestart"] = msgspec.to_builtins(info.last_restart)
    async with connected(to, target=target) as client:
        health = await client.request("health", {}, timeout_s=to.timeout_s)
        found |= {"version": client.hello.server.version, "health": health}
    if to.json:
        print_json(found)
    else:
        _print_status(found)
    return ExitCode.OK


def _not_running(paths: ConfigPaths, *, as_json: bool) -> int:
    if as_json:
        print_json({"running": False, "stateDir": str(paths.state_dir)})
    else:
        print(f"The gateway of {paths.state_dir} is not running. Start it with: portico run")
    return ExitCode.UNREACHABLE


def _restart_line(last: dict[str, Any] | None) -> str | None:
    if last is None:
        return None
    age = duration(max(0, SystemClock().now_ms() - last["at"]) / 1000)
    return f"{age} ago" if last["ok"] else f"rolled back {age} ago: {last.get('reason', '')}"


def _print_status(found: dict[str, Any]) -> None:
    uptime = found.get("uptimeS")
    print_fields(
        (
            ("Gateway", "running"),
            ("URL", found.get("url")),
            ("Also at", ", ".join(found.get("addresses", ())[1:]) or None),
            ("TLS sha256", found.get("tlsSha256")),
            ("Pid", found.get("pid")),
            ("Uptime", None if uptime is None else duration(uptime)),
            ("Version", found["version"]),
            ("Restart", _restart_line(found.get("lastRestart"))),
            ("Health", "ok" if found["health"].get("ok") else "not ok: portico health"),
            *(
                (name.capitalize(), way.get("url") or way.get("name") or way.get("problem"))
                for name, way in (found["health"].get("reach") or {}).items()
            ),
        )
    )
