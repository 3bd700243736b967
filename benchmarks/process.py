"""Child processes, and what the kernel says about them: CPU time and resident memory.

Guarantees: a child is ended by its own pid, and no child outlives the `with` block it came from.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
ROOT = Path(__file__).resolve().parent.parent


def cpu_s(pid: int) -> float:
    """Return the CPU time all living threads of a process have used, to the nanosecond."""
    total_ns = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            total_ns += int((thread / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def resident_kb(pid: int) -> int:
    """Return the resident memory of a process."""
    return _field(Path(f"/proc/{pid}/status"), "VmRSS")


def private_kb(pid: int) -> int:
    """Return what of it no other process shares."""
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    return _field(rollup, "Private_Clean") + _field(rollup, "Private_Dirty")


def _field(file: Path, name: str) -> int:
    for line in file.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(f"{file} does not say {name}")


class Server:
    """A running server process that has said, in one line of JSON, that it is ready.

    Attributes:
        ready_s: from exec to that line.
        said: the line.
    """

    def __init__(
        self, process: subprocess.Popen[str], ready_s: float, said: dict[str, Any]
    ) -> None:
        self.process = process
        self.pid = process.pid
        self.ready_s = ready_s
        self.said = said

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.said["url"].rpartition(":")[2].rstrip("/"))


@contextlib.contextmanager
def running(arguments: Sequence[str], *, log: Path, env: dict[str, str]) -> Iterator[Server]:
    """Run `python ARGUMENTS`, wait until it is ready, and end it afterwards."""
    with log.open("a") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
            env=env,
        )
        try:
            line = _first_line(process, log)
            yield Server(process, time.perf_counter() - started, json.loads(line))
        finally:
            _end(process)


def _first_line(process: subprocess.Popen[str], log: Path) -> str:
    output: IO[str] = process.stdout  # type: ignore[assignment]  # it was opened with a pipe
    readable, _, _ = select.select([output], [], [], READY_TIMEOUT_S)
    line = output.readline() if readable else ""
    if not line:
        raise RuntimeError(f"the server did not become ready:\n{log.read_text()[-4000:]}")
    return line


def _end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def environment() -> dict[str, str]:
    """Return what children see: this source tree, and none of the caller's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PORTICO_")}
    return {**kept, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
