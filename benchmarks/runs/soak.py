"""A hundred thousand messages through a channel: does anything grow that should not?

Growth is measured from the first tenth on: before that caches fill.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.process import Server, cpu_s, resident_kb
from benchmarks.runs.channels import PATH, Partner, ask, configure, partner_account, until_open
from benchmarks.servers import Bench

COUNT = 100_000
QUICK_COUNT = 10_000
PARTS = 10
PEOPLE = 64
PART_PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class _Mark:
    """How things stand after a part."""

    resident_kb: int
    database_bytes: int
    cpu_s: float
    took_s: float


def measure(bench: Bench) -> list[Figure]:
    """Answer them all; 64 people, each of whom waits for the answer before writing again."""
    return asyncio.run(_soak(bench))


async def _soak(bench: Bench) -> list[Figure]:
    count = QUICK_COUNT if bench.quick else COUNT
    async with Partner() as partner:
        configure(bench, "soak", {"webhook": partner_account(partner)})
        with bench.gateway("soak") as server:
            await until_open(server, PATH)
            marks = [_mark(server, bench.state_dir("soak"), 0.0)]
            for _ in range(PARTS):
                took_s = await ask(
                    server, partner, count // PARTS, people=PEOPLE, patience_s=PART_PATIENCE_S
                )
                marks.append(_mark(server, bench.state_dir("soak"), took_s))
    return _figures(marks, count)


def _figures(marks: list[_Mark], count: int) -> list[Figure]:
    part, rest = count // PARTS, count - count // PARTS
    after, end = marks[1], marks[-1]
    grown_kb = end.resident_kb - after.resident_kb
    costs_ms = [(late.cpu_s - early.cpu_s) / part * 1e3 for early, late in pairwise(marks)]
    took_s = sum(mark.took_s for mark in marks)
    return [
        Figure(
            name=f"growth of memory per 1,000 messages, after {part:,} of {count:,}",
            unit="KB",
            value=grown_kb / (rest / 1_000),
            also=f"{marks[0].resident_kb / 1024:.1f} MB at first, {after.resident_kb / 1024:.1f} "
            f"after {part:,}, {end.resident_kb / 1024:.1f} at the end",
        ),
        Figure(
            name="database per message",
            unit="KB",
            value=(end.database_bytes - after.database_bytes) / rest / 1024,
            also=f"{end.database_bytes / 1024 / 1024:.0f} MB at the end, with its log",
        ),
        Figure(
            name="CPU per message, the last tenth",
            unit="ms",
            value=costs_ms[-1],
            baseline=costs_ms[0],
            also=f"baseline: the first tenth; {count / took_s:,.0f}/s in {took_s:,.0f} s",
        ),
    ]


def _mark(server: Server, state: Path, took_s: float) -> _Mark:
    size = sum(file.stat().st_size for file in state.glob("*.sqlite*"))
    return _Mark(resident_kb(server.pid), size, cpu_s(server.pid), took_s)
