"""Where a program is, and how it is tied to this process.

Guarantees: on Linux with util-linux, a program is asked to end (SIGTERM) by the kernel when the
gateway dies without a word. Elsewhere the end of its input is all that tells it.

Source: prctl(2), PR_SET_PDEATHSIG; setpriv(1).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

PROBE_S = 5.0


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
    """Return what to start so that the program ends with this process, where that can be done."""
    return [*_tie(), *argv]


@cache
def _tie() -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    tie = (setpriv, "--pdeathsig", "TERM", "--")
    try:  # some know the option, some do not
        subprocess.run(  # noqa: S603 - a fixed command
            [*tie, "true"], check=True, capture_output=True, timeout=PROBE_S
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tie
