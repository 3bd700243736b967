"""Calls over WebSockets: the trivial method beside the bare echo, and health."""

from __future__ import annotations

from typing import Any

from benchmarks.figures import Aim, Figure
from benchmarks.servers import Bench, Pair

TRIVIAL = "sessions.unsubscribe"
CONNECTIONS = 16


def measure(bench: Bench) -> list[Figure]:
    """Call with one request in flight per connection, and with 16."""
    scale = 1 if bench.quick else 5
    with bench.both() as pair:
        return [
            _figure(pair, "trivial RPC", TRIVIAL, 8_000 * scale, depth=1),
            _figure(pair, "trivial RPC, 16 in flight", TRIVIAL, 24_000 * scale, depth=16),
            _figure(pair, "health RPC", "health", 6_000 * scale, depth=1),
        ]


def _figure(pair: Pair, name: str, method: str, operations: int, *, depth: int) -> Figure:
    job: dict[str, Any] = {
        "scenario": "call",
        "operations": operations,
        "connections": CONNECTIONS,
        "depth": depth,
        "method": method,
    }
    bare, gateway = pair.compare({**job, "method": "echo"}, job)
    return Figure(
        name=name,
        unit="µs",
        value=gateway.cpu_us,
        baseline=bare.cpu_us,
        aim=Aim(2, of="ratio") if method == TRIVIAL else None,
        also=f"{gateway.per_s:,.0f}/s (bare {bare.per_s:,.0f}/s), p99 {gateway.p99_ms:.2f} ms",
    )
