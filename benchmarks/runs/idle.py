"""What a connection that does nothing holds in memory."""

from __future__ import annotations

from benchmarks.figures import Aim, Figure
from benchmarks.servers import TOKEN, Bench, load


def measure(bench: Bench) -> list[Figure]:
    """Open connections that have said hello, once: memory has next to no noise."""
    job = {"scenario": "idle", "connections": 1_000 if bench.quick else 5_000}
    with bench.both("idle") as pair:
        bare = load(pair.bare, job)
        gateway = load(pair.gateway, job, token=TOKEN)
    return [
        Figure(
            name=f"memory per idle connection, {job['connections']:,}",
            unit="KB",
            value=gateway.more["kb_each"],
            baseline=bare.more["kb_each"],
            aim=Aim(18),
            also=f"{gateway.more['resident_mb']:.0f} MB in all; {gateway.per_s:,.0f} opened/s",
        )
    ]
