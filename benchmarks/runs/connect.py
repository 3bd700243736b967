"""Connect, be challenged, say hello, hang up."""

from __future__ import annotations

from benchmarks.figures import Figure
from benchmarks.servers import Bench


def measure(bench: Bench) -> list[Figure]:
    """Come and go on 16 connections at a time."""
    job = {"scenario": "connect", "operations": 500 if bench.quick else 2_000, "connections": 16}
    with bench.both() as pair:
        bare, gateway = pair.compare(job, job)
    return [
        Figure(
            name="connect + hello",
            unit="µs",
            value=gateway.cpu_us,
            baseline=bare.cpu_us,
            also=f"{gateway.per_s:,.0f}/s, p50 {gateway.p50_ms:.2f} ms",
        )
    ]
