"""`portico service`: the gateway as a service of this machine, by systemd or launchd."""

from __future__ import annotations

import getpass
import os
import pwd
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter

from portico.cli.command import Local, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import print_fields, print_json
from portico.cli.service.launchd import Launchd
from portico.cli.service.plan import Manager, Service, remove, run, run_one, write
from portico.cli.service.systemd import Systemd
from portico.cli.target import paths_of

ManagerName = Literal["systemd", "launchd"]
_NAME_SIGNS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Which(Local):
    """Which service is meant."""

    system: Annotated[
        bool,
        Parameter(help="The machine's own manager (needs root), not this user's.", group="Service"),
    ] = False
    user: Annotated[
        str | None,
        Parameter(help="Who runs it, with --system. [default: who ran sudo]", group="Service"),
    ] = None
    name: Annotated[
        str, Parameter(help="Name of the service. [default: portico]", group="Service")
    ] = "portico"
    manager: Annotated[
        ManagerName | None,
        Parameter(help="systemd or launchd. [default: this system's]", group="Service"),
    ] = None


_PORTICO: Final = Which()


def _manager(which: Which) -> Manager:
    named = which.manager or ("launchd" if sys.platform == "darwin" else "systemd")
    return Launchd() if named == "launchd" else Systemd()


def _service(which: Which) -> Service:
    if not which.name or not _NAME_SIGNS.issuperset(which.name):
        raise Failure(
            f"{which.name!r} is no name for a service.",
            code="usage.name",
            next_step="Use letters, digits, - and _",
            exit_code=ExitCode.USAGE,
        )
    user, home = _owner(which)
    paths = paths_of(which, {**os.environ, "HOME": str(home)})
    return Service(
        name=which.name,
        python=Path(sys.executable),
        state_dir=paths.state_dir.absolute(),
        config=paths.config_file.absolute(),
        home=home,
        user=user,
        is_system=which.system,
    )


def _owner(which: Which) -> tuple[str, Path]:
    if not which.system:
        return "", Path.home()
    name = which.user or os.environ.get("SUDO_USER") or getpass.getuser()
    try:
        return name, Path(pwd.getpwnam(name).pw_dir)
    except KeyError:
        raise Failure(
            f"There is no user {name}.", code="service.no_user", exit_code=ExitCode.USAGE
        ) from None


@command("install")
def install(*, dry_run: bool = False, start: bool = True, which: Which = _PORTICO) -> int:
    """Install the gateway as a service, and start it.

    It starts with the machine (a user's: with the login; `loginctl enable-linger` for longer) and
    again when it ends by itself. Installing twice changes nothing. Variables the configuration
    refers to belong into gateway.env in the state directory.

    Args:
        dry_run: Print what would be written and run, and do nothing.
        start: Enable and start it, too.

    Examples:
        portico service install --dry-run
        portico service install
        sudo portico service install --system --user portico
    """
    service, manager = _service(which), _manager(which)
    files = manager.files(service)
    commands = manager.commands("install", service) if start else ()
    if dry_run:
        return _show(which, [(str(one.path), one.text, one.mode) for one in files], commands)
    changed = put_in_place(which, start=start)
    return _said(which, "installed", service, written=[str(path) for path in changed])


def put_in_place(which: Which, *, start: bool = True) -> list[Path]:
    """Install the service, and start it; return the files that were written.

    Raises:
        Failure: the manager refuses.
    """
    service, manager = _service(which), _manager(which)
    _for_root(which)
    service.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    changed = list(write(manager.files(service)))
    _give(which, service)
    if start and (changed or not _is_running(manager, service)):
        run(manager.commands("install", service))
    return changed


@command("uninstall")
def uninstall(*, dry_run: bool = False, which: Which = _PORTICO) -> int:
    """Stop the service and remove it; state, configuration and gateway.env stay.

    Args:
        dry_run: Print what would be removed and run, and do nothing.

    Examples:
        portico service uninstall
        sudo portico service uninstall --system
    """
    service, manager = _service(which), _manager(which)
    files = [file for file in manager.files(service) if not file.is_kept]
    if dry_run:
        shown = [(str(one.path), "", one.mode) for one in files]
        return _show(which, shown, manager.commands("uninstall", service))
    _for_root(which)
    is_there = any(file.path.exists() for file in files)
    if is_there:
        run_one(manager.commands("uninstall", service)[0])  # it may be stopped already
        remove(files)
        run(manager.commands("uninstalled", service))
    return _said(which, "removed" if is_there else "was not installed", service)


@command("start")
def start(*, which: Which = _PORTICO) -> int:
    """Start the service.

    Examples:
        portico service start
    """
    return _do("start", "started", which)


@command("stop")
def stop(*, which: Which = _PORTICO) -> int:
    """Stop the service until it is started again, or the machine is.

    Examples:
        portico service stop
    """
    return _do("stop", "stopped", which)


@command("restart")
def restart(*, which: Which = _PORTICO) -> int:
    """Restart the service, without a gap where it runs.

    Examples:
        portico service restart
    """
    return _do("restart", "restarted", which)


@command("status")
def status(*, which: Which = _PORTICO) -> int:
    """Say what the service manager knows.

    Exit code 0: the service runs; 3: it does not.

    Examples:
        portico service status
        portico service status --json
    """
    service, manager = _service(which), _manager(which)
    done = run_one(manager.commands("status", service)[0])
    fields = dict(line.partition("=")[::2] for line in done.stdout.splitlines() if "=" in line)
    found: dict[str, Any] = {key.strip(): value.strip() for key, value in fields.items()}
    runs = _runs(done.stdout)
    if which.json:
        print_json({"name": service.name, "running": runs, "manager": found})
    else:
        print_fields((("Service", service.name), ("Running", "yes" if runs else "no")))
        print_fields(tuple(found.items())[:12])
    return ExitCode.OK if runs else ExitCode.UNREACHABLE


@command("logs")
def logs(*, which: Which = _PORTICO) -> int:
    """Print the end of what the service wrote.

    Examples:
        portico service logs
    """
    service, manager = _service(which), _manager(which)
    done = run_one(manager.commands("logs", service)[0])
    print(done.stdout, end="")
    return ExitCode.OK if done.returncode == 0 else ExitCode.FAILED


def _do(action: str, past: str, which: Which) -> int:
    service, manager = _service(which), _manager(which)
    run(manager.commands(action, service))
    return _said(which, past, service)


def _is_running(manager: Manager, service: Service) -> bool:
    return _runs(run_one(manager.commands("status", service)[0]).stdout)


def _runs(shown: str) -> bool:
    return any(
        line.strip() in {"ActiveState=active", "ActiveState=reloading", "state = running"}
        for line in shown.splitlines()
    )


def _for_root(which: Which) -> None:
    if which.system and os.geteuid() != 0:
        raise Failure(
            "Only root may install a service of the machine.",
            code="service.needs_root",
            next_step="Use sudo, or leave --system out",
            exit_code=ExitCode.UNAUTHORIZED,
        )


def _give(which: Which, service: Service) -> None:
    """Let whoever runs the service own what root has just made for it."""
    if which.system and service.user:
        owner = pwd.getpwnam(service.user)
        for path in (service.state_dir, service.env_file):
            os.chown(path, owner.pw_uid, owner.pw_gid)


def _show(
    which: Which,
    files: list[tuple[str, str, int]],
    commands: tuple[tuple[str, ...], ...],
) -> int:
    if which.json:
        shown = [{"path": path, "mode": f"{mode:04o}", "text": text} for path, text, mode in files]
        print_json({"files": shown, "commands": [list(one) for one in commands]})
        return ExitCode.OK
    for path, text, mode in files:
        print(f"# {path} (mode {mode:04o})\n{text}")
    for one in commands:
        print("$ " + " ".join(one))
    return ExitCode.OK


def _said(which: Which, past: str, service: Service, **more: Any) -> int:
    if which.json:
        print_json({"name": service.name, "done": past, **more})
    else:
        print(f"The service {service.name} {'is ' if ' ' not in past else ''}{past}.")
    return ExitCode.OK
