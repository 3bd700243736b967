"""Events to a thousand connections: all of a chat run's, heard by every one."""

from __future__ import annotations

import msgspec

from benchmarks.figures import Figure
from benchmarks.servers import TOKEN, Bench, load

CONNECTIONS = 1_000
TEXT = "x" * 250  # about as long as a chat event


def measure(bench: Bench) -> list[Figure]:
    """Compare the cost of one frame to one receiver."""
    job = {"scenario": "broadcast", "operations": 20, "connections": CONNECTIONS}
    if bench.quick:
        job["operations"] = 5
    with bench.both() as pair:
        events = load(pair.gateway, {**job, "operations": 3, "connections": 20}, token=TOKEN)
        count = round(events.more["frames_per_receiver"])
        params = msgspec.Raw(msgspec.json.encode({"events": count, "text": TEXT}))
        bare, gateway = pair.compare({**job, "params": params}, job)
    return [
        Figure(
            name="broadcast to 1,000, per frame",
            unit="µs",
            value=gateway.cpu_us,
            baseline=bare.cpu_us,
            also=f"{gateway.per_s:,.0f} frames/s, {count} events per run, "
            f"all have heard the last after {gateway.p50_ms:.0f} ms",
        )
    ]
