"""The sandbox as a container: podman or docker, without network, with the workspace and an image.

Guarantees: a program in it sees the files of its image and of the workspace, and what is
configured; it has no capability, cannot write to the image, and uses so much memory and so many
processes at most. An image is never pulled. After `remove` nothing of it is left.

Not here: a container that a killed gateway leaves behind ends by itself with podman, when its time
is over; docker has no such limit, there it ends with its program.

Source: podman-run(1); docker run reference.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from portico.agents.tools.contract import ToolError
from portico.agents.tools.exec.model import Command, Engine, SandboxSettings
from portico.process.programs import ProgramMissing, ProgramTooSlow, run_program

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
VARIABLES = (
    "CONTAINERS_CONF",
    "CONTAINERS_STORAGE_CONF",
    "CONTAINER_HOST",
    "DBUS_SESSION_BUS_ADDRESS",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
)
"""Of the gateway's environment, what an engine needs."""
TRY_S = 10.0
REMOVE_S = 30.0
MORE_S = 10.0
"""How much later than us podman ends a container by itself."""
_UNUSABLE = frozenset(',"\n')


def find_engine(engine: Engine) -> str | None:
    """Return where an engine's program is; `None`: it is not installed."""
    return shutil.which(engine, path=os.defpath + os.pathsep + SEARCH_PATH)


def wrapped(
    program: str, command: Command, settings: SandboxSettings, *, name: str, limit_s: float
) -> list[str]:
    """Return the command line that runs a command in a container.

    Raises:
        ToolError: the workspace has a name that cannot be told to the engine.
    """
    options = [*_options(command, settings)]
    if settings.engine == "podman":
        options.append(f"--timeout={int(limit_s + MORE_S)}")
    words = command.argv
    entry = ("--entrypoint", words[0], settings.image or "", *words[1:])
    return [program, "run", "--rm", "--name", name, *options, *entry]


def _options(command: Command, settings: SandboxSettings) -> Iterator[str]:
    yield from ("--pull=never", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL")
    yield from ("--security-opt=no-new-privileges", "--log-driver=none")
    yield f"--pids-limit={settings.most_processes}"
    yield from (f"--memory={settings.memory_mb}m", f"--memory-swap={settings.memory_mb}m")
    if not settings.has_network:
        yield "--network=none"
    yield from _account(settings.engine)
    yield from ("--mount", _mount(command.workspace, is_read_only=settings.is_read_only))
    for path in settings.paths:
        yield from ("--mount", _mount(Path(path), is_read_only=True))
    yield from ("--workdir", str(command.cwd))
    for name, value in command.env.items():
        yield from ("--env", f"{name}={value}")


def _account(engine: Engine) -> Iterator[str]:
    """What is written into the workspace belongs to us."""
    user, group = os.getuid(), os.getgid()
    yield f"--user={user}:{group}"
    if engine == "podman" and user != 0:
        yield "--userns=keep-id"


def _mount(path: Path, *, is_read_only: bool) -> str:
    if _UNUSABLE & {*str(path)}:
        raise ToolError(f"A container cannot be given a path with these characters: {path}")
    return f"type=bind,source={path},target={path}" + (",readonly" if is_read_only else "")


async def remove(program: str, engine: Engine, name: str, env: Mapping[str, str]) -> None:
    """End and remove a container, if it is there."""
    at_once = ("--time=0",) if engine == "podman" else ()
    try:
        await run_program(
            [program, "rm", "--force", *at_once, name],
            env=env,
            timeout_s=REMOVE_S,
            max_output_bytes=1_000,
            may_say_more=True,
        )
    except (ProgramMissing, ProgramTooSlow):
        return  # its time ends it


def trouble(settings: SandboxSettings, env: Mapping[str, str]) -> str | None:
    """Return why there can be no containers on this machine; `None`: there can. Blocks."""
    program = find_engine(settings.engine)
    if program is None:
        return f"{settings.engine} is not installed"
    told = {"PATH": SEARCH_PATH} | {name: env[name] for name in VARIABLES if name in env}
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, an image the operator named
            [program, "image", "inspect", "--format={{.Id}}", settings.image or ""],
            capture_output=True,
            check=False,
            timeout=TRY_S,
            stdin=subprocess.DEVNULL,
            env=told,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{settings.engine} does not start: {error}"
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = said[-1] if said else done.returncode
        return f"{settings.engine} cannot use {settings.image}: {why}"
    return None
