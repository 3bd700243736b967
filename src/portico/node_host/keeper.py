"""The process that outlives a killed node host for a moment, to end what it has started.

Theory of operation: the host starts this program once and writes to its stdin which process groups
it has started (`+pid`) and which have ended (`-pid`). When the host dies, however it dies, the
system closes that pipe; what is still on the list is killed then.

Guarantees: it never kills a group that was reported as ended; it ends when the host does. It
imports nothing but the standard library, and runs isolated (`python -I -S`).
Not here: a program that has left its process group on purpose (a daemon).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable


def groups_left(lines: Iterable[str]) -> set[int]:
    """Read reports until there are no more; return the groups that have not ended."""
    groups: set[int] = set()
    for line in lines:
        sign, number = line[:1], line[1:].strip()
        if not number.isdecimal() or int(number) <= 1:
            continue
        if sign == "+":
            groups.add(int(number))
        else:
            groups.discard(int(number))
    return groups


def main() -> None:
    """Wait for the end of the host, then end what it has left."""
    for group in groups_left(sys.stdin):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
