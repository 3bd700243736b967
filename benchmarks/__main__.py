"""The command line: which measurements, how thorough, and what becomes of the figures."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import msgspec

from benchmarks.figures import Figure, table
from benchmarks.process import ROOT
from benchmarks.servers import Bench

# A name is a module in `benchmarks/runs`; each has `measure(bench) -> list[Figure]`.
NAMES = (
    "start",
    "connect",
    "rpc",
    "chat",
    "messages",
    "openai",
    "broadcast",
    "idle",
    "sessions",
    "channels",
    "micro",
)
LONG = ("soak",)  # only when asked for
RESULTS = ROOT / "benchmarks" / "results.jsonl"


def main() -> int:
    """Measure, print, and keep the figures when asked to."""
    chosen = _arguments()
    found: list[Figure] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="portico-bench-") as folder:
        bench = Bench(Path(folder), rounds=1 if chosen.quick else 3, quick=chosen.quick)
        for name in chosen.names or NAMES:
            started = time.perf_counter()
            try:
                found += _measurement(name)(bench)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                failed = True
                print(f"{name}: {error}", file=sys.stderr)
            print(f"{name}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
    print(msgspec.json.encode(found).decode() if chosen.json else table(found))
    if chosen.record:
        _record(found)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=" ".join(NAMES + LONG))
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="one round, fewer connections")
    parser.add_argument("--record", action="store_true", help=f"append to {RESULTS.name}")
    chosen = parser.parse_args()
    for name in chosen.names:
        if name not in NAMES + LONG:
            parser.error(f"no measurement is called {name}; there are {', '.join(NAMES + LONG)}")
    return chosen


def _measurement(name: str) -> Callable[[Bench], list[Figure]]:
    measure: Callable[[Bench], list[Figure]] = import_module(f"benchmarks.runs.{name}").measure
    return measure


def _record(figures: list[Figure]) -> None:
    head = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(head, cwd=ROOT, capture_output=True, text=True, check=True)
    run = {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "figures": figures,
    }
    with RESULTS.open("ab") as file:
        file.write(msgspec.json.encode(run) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
