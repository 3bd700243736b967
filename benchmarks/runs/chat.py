"""A durable message, from `chat.send` to the final event, with the echo agent."""

from __future__ import annotations

from benchmarks.figures import Aim, Figure
from benchmarks.servers import Bench

SESSIONS = 16


def measure(bench: Bench) -> list[Figure]:
    """Keep one run going in each of 16 sessions, and in one."""
    operations = 500 if bench.quick else 3_000
    job = {"scenario": "chat", "operations": operations, "connections": SESSIONS}
    echo = {"scenario": "call", "operations": 5_000, "connections": SESSIONS}
    with bench.both() as pair:
        bare, parallel = pair.compare(echo, job)
        _, alone = pair.compare(echo, {**job, "operations": operations // 4, "connections": 1})
    events = parallel.more["events_per_run"]
    return [
        Figure(
            name="chat.send → final, 16 sessions",
            unit="ms",
            value=parallel.cpu_us / 1e3,
            baseline=bare.cpu_us / 1e3,
            aim=Aim(1),
            also=f"{parallel.per_s:,.0f}/s, p50 {parallel.p50_ms:.1f} ms, "
            f"p99 {parallel.p99_ms:.1f} ms, {events:.1f} frames per run",
        ),
        Figure(
            name="chat.send → final, 1 session",
            unit="ms",
            value=alone.cpu_us / 1e3,
            baseline=bare.cpu_us / 1e3,
            also=f"{alone.per_s:,.0f}/s, p50 {alone.p50_ms:.1f} ms, p99 {alone.p99_ms:.1f} ms",
        ),
    ]
