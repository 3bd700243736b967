"""Keep the place of a gateway whose successor runs: the same pid for whoever waits for it.

A shell, a container runtime or launchd waits for the process it started. When that process has
handed everything over, it becomes this: some 8 MB that wait until the last gateway of the line
ends, pass signals on to the one that runs, and end with its exit code. systemd is told the new
main process instead and needs no such keeper.

Run as a program with the pid of the successor and the reading end of a pipe: each gateway of the
line writes `pid N` when it has taken over and `exit N` before it ends; the end of the pipe is the
end of the line.

Not here: anything of Portico. Only the standard library, and little of it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys

PASSED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR2)


def keep(pid: int, pipe: int) -> int:
    """Wait for the end of the line; return its exit code."""
    running, code, rest = pid, 1, b""

    def pass_on(number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(running, number)

    for number in PASSED:
        if signal.getsignal(number) is not signal.SIG_IGN:  # such as under nohup
            signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED)  # the gateway held them back for us
    while True:
        select.select([pipe], [], [], 5)
        _reap()
        if not select.select([pipe], [], [], 0)[0]:
            continue
        data = os.read(pipe, 4096)
        if not data:
            return code
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            word, _, value = line.partition(b" ")
            if word == b"pid":
                running = int(value)
            elif word == b"exit":
                code = int(value)


def _reap() -> None:
    """Collect children that ended: ours, and as pid 1 of a container everybody's."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


if __name__ == "__main__":
    sys.exit(keep(int(sys.argv[1]), int(sys.argv[2])))
