"""Counters, histograms and gauges, and their text for Prometheus.

Theory of operation: code that moves a number holds a tiny instrument (a dictionary by label
values); only when the metrics are read are they turned into families of a private prometheus_client
registry. So a gateway nobody scrapes never imports that library (14 MB), and moving a number costs
a dictionary update.

Guarantees: no global registry; label values come from code, never from callers' free text (an
instrument keeps at most `MAX_SERIES` label combinations and counts the rest under `other`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

MAX_SERIES = 2_000
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
TURN_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
GROUP_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

Labels = tuple[str, ...]
GaugeValues = float | Mapping[Labels, float]


def _known(series: Mapping[Labels, Any], labels: Labels) -> Labels:
    if labels in series or len(series) < MAX_SERIES:
        return labels
    return ("other",) * len(labels)


class Counter:
    """A number that only rises, per combination of label values."""

    __slots__ = ("doc", "labels", "name", "values")

    def __init__(self, name: str, doc: str, labels: Labels = ()) -> None:
        self.name = name
        self.doc = doc
        self.labels = labels
        self.values: dict[Labels, float] = {} if labels else {(): 0.0}

    def inc(self, *labels: str, amount: float = 1.0) -> None:
        """Add to the number."""
        key = _known(self.values, labels)
        self.values[key] = self.values.get(key, 0.0) + amount

    def collect(self) -> Metric:
        """Return the family for Prometheus."""
        from prometheus_client.core import CounterMetricFamily

        family = CounterMetricFamily(self.name, self.doc, labels=self.labels)
        for labels, value in self.values.items():
            family.add_metric(labels, value)
        return family


class Histogram:
    """How often a number fell into which bucket, per combination of label values."""

    __slots__ = ("buckets", "doc", "labels", "name", "series")

    def __init__(
        self, name: str, doc: str, labels: Labels = (), *, buckets: tuple[float, ...] = SECONDS
    ) -> None:
        self.name = name
        self.doc = doc
        self.labels = labels
        self.buckets = buckets
        self.series: dict[Labels, tuple[list[int], list[float]]] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Count one observation."""
        key = _known(self.series, labels)
        found = self.series.get(key)
        if found is None:
            found = self.series[key] = ([0] * (len(self.buckets) + 1), [0.0])
        counts, total = found
        counts[bisect_left(self.buckets, value)] += 1
        total[0] += value

    def collect(self) -> Metric:
        """Return the family for Prometheus."""
        from prometheus_client.core import HistogramMetricFamily

        family = HistogramMetricFamily(self.name, self.doc, labels=self.labels)
        bounds = [*(f"{bucket:g}" for bucket in self.buckets), "+Inf"]
        for labels, (counts, total) in self.series.items():
            so_far = 0
            cumulated: list[tuple[str, float]] = []
            for bound, count in zip(bounds, counts, strict=True):
                so_far += count
                cumulated.append((bound, so_far))
            family.add_metric(labels, cumulated, sum_value=total[0])
        return family


@dataclass(frozen=True, slots=True)
class _Gauge:
    name: str
    doc: str
    labels: Labels
    read: Callable[[], GaugeValues]

    def collect(self) -> Metric:
        from prometheus_client.core import GaugeMetricFamily

        family = GaugeMetricFamily(self.name, self.doc, labels=self.labels)
        values = self.read()
        if not isinstance(values, Mapping):
            values = {(): float(values)}
        for labels, value in values.items():
            family.add_metric(labels, value)
        return family


class Metrics:
    """Every number of one gateway."""

    def __init__(self, *, version: str = "") -> None:
        self.http_requests = Counter(
            "portico_http_requests", "HTTP requests answered.", ("method", "route", "status")
        )
        self.rpc_calls = Counter("portico_rpc_calls", "RPC calls answered.", ("method", "outcome"))
        self.rpc_seconds = Histogram(
            "portico_rpc_seconds", "Time from an RPC request to its answer.", ("method",)
        )
        self.events_published = Counter("portico_events_published", "Events published.", ("event",))
        self.events_dropped = Counter(
            "portico_events_dropped", "Events not sent to a client that is too slow."
        )
        self.inbox_messages = Counter(
            "portico_inbox_messages", "Messages by what was decided.", ("channel", "outcome")
        )
        self.turns_ended = Counter("portico_turns_ended", "Turns ended, by state.", ("state",))
        self.turn_seconds = Histogram(
            "portico_turn_seconds", "Time a turn ran.", ("state",), buckets=TURN_SECONDS
        )
        self.turn_wait_seconds = Histogram(
            "portico_turn_wait_seconds", "Time a turn waited in its lane.", buckets=TURN_SECONDS
        )
        self.deliveries = Counter(
            "portico_deliveries", "Deliveries settled, by state.", ("channel", "state")
        )
        self.budget_refusals = Counter(
            "portico_budget_refusals", "Turns not begun for want of a budget.", ("scope",)
        )
        self.budget_notices = Counter(
            "portico_budget_notices",
            "Budgets that came near their end (warning) or to it (exhausted) in a window.",
            ("kind", "scope"),
        )
        self.node_invokes = Counter(
            "portico_node_invokes", "Commands of nodes, by how they ended.", ("state",)
        )
        self.node_progress = Counter(
            "portico_node_progress",
            "Pieces of what commands of nodes say while they run, and whether they counted.",
            ("outcome",),
        )
        self.store_group_size = Histogram(
            "portico_store_group_size", "Works that shared a commit.", buckets=GROUP_SIZES
        )
        self.store_commit_seconds = Histogram("portico_store_commit_seconds", "Time of a commit.")
        self._gauges: dict[str, _Gauge] = {}
        self._version = version
        self._registry: CollectorRegistry | None = None
        if version:
            self.gauge("portico_info", "What runs.", lambda: {(version,): 1.0}, labels=("version",))

    def gauge(
        self, name: str, doc: str, read: Callable[[], GaugeValues], *, labels: Labels = ()
    ) -> None:
        """Add a gauge that is read when the metrics are.

        Args:
            read: returns the number, or numbers by label values. It must not block.
        """
        self._gauges[name] = _Gauge(name, doc, labels, read)

    def collect(self) -> Iterator[Metric]:
        """Yield every family (the protocol of prometheus_client's registry)."""
        for instrument in vars(self).values():
            if isinstance(instrument, Counter | Histogram):
                yield instrument.collect()
        for gauge in self._gauges.values():
            yield gauge.collect()

    def render(self) -> bytes:
        """Return the text Prometheus reads. The first call imports prometheus_client."""
        from prometheus_client import generate_latest

        if self._registry is None:
            self._registry = self._make_registry()
        return generate_latest(self._registry)

    def _make_registry(self) -> CollectorRegistry:
        from prometheus_client import CollectorRegistry
        from prometheus_client.gc_collector import GCCollector
        from prometheus_client.platform_collector import PlatformCollector
        from prometheus_client.process_collector import ProcessCollector

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        return registry
