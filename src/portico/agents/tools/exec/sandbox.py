"""The sandbox: bubblewrap, without network, with the workspace and the programs of this machine.

Guarantees: a program in it sees no file but those of the workspace, `/usr`, what makes programs
run, and what is configured; no process, no environment and no address of the gateway; it ends with
the gateway. Nothing is tried outside of it when it is not there.

Source: https://github.com/containers/bubblewrap, bwrap(1).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from portico.agents.tools.exec.model import Command, SandboxSettings

PROGRAM = "bwrap"
SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin"
TRY_S = 10.0
# Of /etc only what programs need to run; it holds other people's names and secrets.
_ETC = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)
_NETWORK = ("/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf")
_USUAL = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")


def find_program() -> str | None:
    """Return where bubblewrap is; `None`: it is not installed."""
    return shutil.which(PROGRAM, path=os.defpath + os.pathsep + SEARCH_PATH)


def wrapped(program: str, command: Command, settings: SandboxSettings) -> list[str]:
    """Return the command line that runs a command in the sandbox."""
    return [program, *_options(command, settings), "--", *command.argv]


def _options(command: Command, settings: SandboxSettings) -> Iterator[str]:
    yield from ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL")
    if settings.has_network:
        yield "--share-net"
    yield from ("--clearenv",)
    for name, value in command.env.items():
        yield from ("--setenv", name, value)
    yield from ("--ro-bind", "/usr", "/usr")
    for path in _USUAL:
        yield from _usual(Path(path))
    for path in (*_ETC, *(_NETWORK if settings.has_network else ()), *settings.paths):
        yield from ("--ro-bind-try", path, path)
    yield from ("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp")  # noqa: S108 - its own
    workspace = str(command.workspace)
    yield from ("--ro-bind" if settings.is_read_only else "--bind", workspace, workspace)
    yield from ("--chdir", str(command.cwd))


def _usual(path: Path) -> Iterator[str]:
    """Show a directory of programs as it is here: a link into /usr, or itself."""
    if path.is_symlink():
        yield from ("--symlink", str(path.readlink()), str(path))
    elif path.is_dir():
        yield from ("--ro-bind", str(path), str(path))


def trouble() -> str | None:
    """Return why there is no sandbox on this machine; `None`: there is one. Blocks."""
    program = find_program()
    if program is None:
        return "bubblewrap (bwrap) is not installed"
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            [program, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "true"],
            capture_output=True,
            check=False,
            timeout=TRY_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not start: {error}"
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return f"bubblewrap does not work here: {said[0] if said else done.returncode}"
    return None
