"""A durable message over HTTP: posted, run, answered."""

from __future__ import annotations

from benchmarks.figures import Aim, Figure
from benchmarks.servers import Bench

PATH = "/v1/gateway/messages"


def measure(bench: Bench) -> list[Figure]:
    """Post on 16 connections, each in a session of its own."""
    operations = 500 if bench.quick else 3_000
    job = {"scenario": "http", "operations": operations, "connections": 16, "path": PATH}
    with bench.both() as pair:
        bare, gateway = pair.compare(job, job)
    return [
        Figure(
            name="gateway message over HTTP, 16 sessions",
            unit="ms",
            value=gateway.cpu_us / 1e3,
            baseline=bare.cpu_us / 1e3,
            aim=Aim(1),
            also=f"{gateway.per_s:,.0f}/s, p50 {gateway.p50_ms:.1f} ms, "
            f"p99 {gateway.p99_ms:.1f} ms",
        )
    ]
