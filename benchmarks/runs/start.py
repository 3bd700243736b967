"""From exec to ready, and the memory of a gateway nobody uses."""

from __future__ import annotations

import time

from benchmarks.figures import Aim, Figure
from benchmarks.process import Server, private_kb, resident_kb
from benchmarks.servers import TOKEN, Bench, load, middle

SETTLE_S = 1.0


def measure(bench: Bench) -> list[Figure]:
    """Start both servers again and again; the first start of a gateway makes its database."""
    with bench.gateway() as server:
        first_s = server.ready_s
    private = 0.0
    bare_s, gateway_s, bare_kb, gateway_kb = [], [], [], []
    for _ in range(3 if bench.quick else 5):
        with bench.bare() as server:
            bare_s.append(server.ready_s)
            bare_kb.append(float(_used(server, token="")))
        with bench.gateway() as server:
            gateway_s.append(server.ready_s)
            gateway_kb.append(float(_used(server, token=TOKEN)))
            private = private_kb(server.pid) / 1024
    return [
        Figure(
            name="ready after exec",
            unit="s",
            value=middle(gateway_s),
            baseline=middle(bare_s),
            aim=Aim(0.9),
            also=f"first start, with migrations: {first_s:.2f} s",
        ),
        Figure(
            name="resident, idle",
            unit="MB",
            value=middle(gateway_kb) / 1024,
            baseline=middle(bare_kb) / 1024,
            aim=Aim(75),
            also=f"private {private:.1f} MB",
        ),
    ]


def _used(server: Server, *, token: str) -> int:
    """Return the resident memory after one client came and went."""
    load(server, {"scenario": "connect", "operations": 1}, token=token)
    time.sleep(SETTLE_S)
    return resident_kb(server.pid)
