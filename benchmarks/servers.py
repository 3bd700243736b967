"""The two servers of a measurement: a gateway with a state directory of its own, and the bare one.

A measurement runs both at once and loads them in turn, so that both see the same machine.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.load import Cost, Job
from benchmarks.process import ROOT, Server, environment, running

TOKEN = "benchmark-token-0123456789abcdef"
CONFIG = {
    "gateway": {"auth": {"mode": "token", "token": TOKEN}},
    "agents": {"defaults": {"maxConcurrent": 64}},
}
LOAD_TIMEOUT_S = 70


@dataclass(frozen=True, slots=True)
class Bench:
    """How to measure.

    Attributes:
        folder: for databases, configurations and logs of this run.
        rounds: how often each of the two servers is loaded; the median counts.
    """

    folder: Path
    rounds: int
    quick: bool

    def state_dir(self, name: str) -> Path:
        """Return a state directory, made with its configuration if it is new."""
        state = self.folder / name
        state.mkdir(exist_ok=True, mode=0o700)
        config = state / "portico.json"
        if not config.exists():
            config.write_text(json.dumps(CONFIG))
            config.chmod(0o600)
        return state

    @contextlib.contextmanager
    def gateway(self, state: str = "state") -> Iterator[Server]:
        """Run a gateway."""
        folder = self.state_dir(state)
        arguments = ["-m", "portico", "run", "--port", "0", "--json", "--state-dir", str(folder)]
        with running(arguments, log=self.folder / "gateway.log", env=environment()) as server:
            yield server

    @contextlib.contextmanager
    def bare(self) -> Iterator[Server]:
        """Run the bare echo server."""
        arguments = ["-m", "benchmarks.baseline"]
        with running(arguments, log=self.folder / "bare.log", env=environment()) as server:
            yield server

    @contextlib.contextmanager
    def both(self, state: str = "state") -> Iterator[Pair]:
        """Run both."""
        with self.bare() as bare, self.gateway(state) as gateway:
            yield Pair(bare, gateway, self.rounds)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both servers, running."""

    bare: Server
    gateway: Server
    rounds: int

    def compare(
        self, on_bare: dict[str, Any], on_gateway: dict[str, Any], *, rounds: int | None = None
    ) -> tuple[Cost, Cost]:
        """Load the servers in turn and return the median costs: bare, gateway."""
        found: tuple[list[Cost], list[Cost]] = ([], [])
        for _ in range(rounds or self.rounds):
            found[0].append(load(self.bare, on_bare))
            found[1].append(load(self.gateway, on_gateway, token=TOKEN))
        return median(found[0]), median(found[1])


def load(server: Server, job: dict[str, Any], *, token: str = "") -> Cost:
    """Load a server from a process of its own."""
    whole = {**job, "port": server.port, "pid": server.pid, "token": token}
    text = msgspec.json.encode(msgspec.convert(whole, Job)).decode()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", text],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LOAD_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{job['scenario']} failed:\n{done.stderr[-3000:]}")
    return msgspec.json.decode(done.stdout, type=Cost)


def median(costs: list[Cost]) -> Cost:
    """Return the round with the median CPU time."""
    return sorted(costs, key=lambda cost: cost.cpu_us)[(len(costs) - 1) // 2]


def middle(values: list[float]) -> float:
    """Return the median."""
    return statistics.median(values)
