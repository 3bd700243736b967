"""Where a program is, and how it is tied to this process.

Programs of npm packages are often a script that starts the real one, and that one may not notice
that nobody listens any more. So each runs below a shell that the kernel signals when the gateway
dies, and that then ends their whole group.

Guarantees: on Linux with util-linux, nothing of a program's group outlives the gateway by more
than some seconds, however the gateway ends. Elsewhere the end of its input is all that tells it.

Source: prctl(2), PR_SET_PDEATHSIG; setpriv(1); POSIX, "Shell Command Language".
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

PROBE_S = 5.0
GUARD = """
trap 'kill -TERM 0; sleep 2; kill -KILL 0' HUP
trap : TERM
exec 3<&0
"$@" <&3 3<&- &
program=$!
exec 3<&- </dev/null >/dev/null 2>&1
while :; do
  wait $program
  code=$?
  kill -0 $program || exit $code
done
"""
"""Runs a program with our pipes and ends as it does. HUP: the gateway is gone. TERM is for the
program; what is trapped here is not ignored there."""


def find_program(command: str, *, cwd: str | None, path: str | None) -> str | None:
    """Return the whole path of a program that can be run; `None`: there is none.

    Args:
        cwd: the directory it works in, from where a relative path counts.
        path: the directories a bare name is looked up in, separated by colons.
    """
    if os.sep not in command:
        return shutil.which(command, path=path)
    place = Path(cwd or "/", command)
    return str(place) if place.is_file() and os.access(place, os.X_OK) else None


def tied(argv: Sequence[str]) -> list[str]:
    """Return what to start so that the program ends with this process, where that can be done.

    It must be started as the leader of a process group.
    """
    return [*_tie(), *argv]


@cache
def _tie() -> tuple[str, ...]:
    setpriv, shell = shutil.which("setpriv"), shutil.which("sh")
    if setpriv is None or shell is None:
        return ()
    tied_to_us = (setpriv, "--pdeathsig", "HUP", "--")
    try:  # some know the option, some do not
        subprocess.run(  # noqa: S603 - a fixed command
            [*tied_to_us, "true"], check=True, capture_output=True, timeout=PROBE_S
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return (*tied_to_us, shell, "-c", GUARD, "portico-agent")
