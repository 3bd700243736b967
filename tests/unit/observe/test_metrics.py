"""Instruments and their text."""

from __future__ import annotations

import subprocess
import sys

from portico.observe.metrics import MAX_SERIES, Metrics


def test_numbers_are_rendered_for_prometheus() -> None:
    metrics = Metrics(version="1.2")
    metrics.rpc_calls.inc("health", "ok")
    metrics.rpc_calls.inc("health", "ok", amount=2)
    metrics.turn_seconds.observe(0.02, "succeeded")
    metrics.turn_seconds.observe(5_000, "succeeded")
    metrics.gauge("portico_connections", "Open.", lambda: 7)
    text = metrics.render().decode()
    assert 'portico_rpc_calls_total{method="health",outcome="ok"} 3.0' in text
    assert 'portico_turn_seconds_bucket{le="0.05",state="succeeded"} 1.0' in text
    assert 'portico_turn_seconds_bucket{le="+Inf",state="succeeded"} 2.0' in text
    assert 'portico_turn_seconds_count{state="succeeded"} 2.0' in text
    assert "portico_connections 7.0" in text
    assert 'portico_info{version="1.2"} 1.0' in text
    assert "process_resident_memory_bytes" in text


def test_two_gateways_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.events_dropped.inc()
    assert b"portico_events_dropped_total 1.0" in one.render()
    assert b"portico_events_dropped_total 0.0" in other.render()


def test_label_values_are_bounded() -> None:
    metrics = Metrics()
    for number in range(MAX_SERIES + 50):
        metrics.events_published.inc(f"e{number}")
    assert len(metrics.events_published.values) == MAX_SERIES + 1
    assert metrics.events_published.values["other",] == 50


def test_counting_does_not_import_prometheus() -> None:
    code = (
        "import sys; from portico.observe.metrics import Metrics; "
        "Metrics().rpc_calls.inc('a', 'b'); sys.exit('prometheus_client' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
