"""The keeper of a place: a program of its own, run as one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from portico.succession import place

CHILD = (
    "import signal, sys\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
    "print('up', flush=True)\n"
    "signal.pause()\n"
)


@contextmanager
def keeper(pid: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A keeper for a process, and the end of the pipe on which it is told things."""
    reading, writing = os.pipe()
    program = [sys.executable, "-I", "-S", place.__file__, str(pid), str(reading)]
    with subprocess.Popen(program, pass_fds=[reading]) as process:
        os.close(reading)
        try:
            yield process, writing
        finally:
            process.kill()


def test_it_ends_with_the_line_and_its_exit_code() -> None:
    with keeper(os.getpid()) as (process, writing):
        os.write(writing, b"pid 4711\nexi")
        os.write(writing, b"t 3\n")
        assert process.poll() is None
        os.close(writing)
        assert process.wait(30) == 3


def test_a_line_that_dies_is_a_failure() -> None:
    with keeper(os.getpid()) as (process, writing):
        os.close(writing)
        assert process.wait(30) == 1


def test_a_signal_goes_to_the_one_that_runs() -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE) as gateway:
        assert gateway.stdout is not None
        assert gateway.stdout.readline() == b"up\n"
        with keeper(os.getpid()) as (process, writing):
            os.write(writing, f"pid {gateway.pid}\n".encode())
            deadline = time.monotonic() + 30
            while gateway.poll() is None and time.monotonic() < deadline:
                if _handles(process.pid, signal.SIGTERM) and _has_read(writing):
                    process.send_signal(signal.SIGTERM)
                time.sleep(0.05)
            assert gateway.wait(30) == 0
            os.close(writing)


def _handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal by now."""
    status = subprocess.run(
        ["ps", "-o", "caught=", "-p", str(pid)], check=False, capture_output=True, text=True
    )
    return bool(int(status.stdout.strip() or "0", 16) & (1 << (number - 1)))


def _has_read(pipe: int) -> bool:
    import array
    import fcntl
    import termios

    waiting = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return waiting[0] == 0
