"""The process that outlives a killed node host for a moment, to end what it has started.

Theory of operation: the host starts this program once and writes to its stdin the mark that its
programs have in their environment (`=mark`), which process groups it has started (`+pid`) and which
have ended (`-pid`). When the host dies, however it dies, the system closes that pipe; what is still
on the list is killed then, and, where the system shows environments (/proc), everything that has
the mark: a program that had just begun, and one that left its group.

Guarantees: it never kills a group that was reported as ended; it ends when the host does. It
imports nothing but the standard library, and runs isolated (`python -I -S`).
Not here: a program that left its group and emptied its environment, on purpose.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

MARK = "PORTICO_NODE_HOST"
PROC = Path("/proc")
PAUSES_S = (0.0, 0.05, 0.2)
"""A program may be between its start and its environment when its host dies: look again."""


def left_of(lines: Iterable[str]) -> tuple[set[int], str]:
    """Read reports until there are no more; return the groups that have not ended, and the mark."""
    groups: set[int] = set()
    mark = ""
    for line in lines:
        sign, rest = line[:1], line[1:].strip()
        if sign == "=":
            mark = rest
        elif rest.isdecimal() and int(rest) > 1:
            (groups.add if sign == "+" else groups.discard)(int(rest))
    return groups, mark


def marked(mark: str) -> Iterator[int]:
    """Find the processes with a mark in their environment; none where that cannot be seen."""
    wanted = f"{MARK}={mark}".encode()
    for folder in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)


def main() -> None:
    """Wait for the end of the host, then end what it has left."""
    groups, mark = left_of(sys.stdin)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for pause_s in PAUSES_S if mark else ():
        time.sleep(pause_s)
        for pid in marked(mark):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
