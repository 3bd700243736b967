"""`GET /metrics`, and the gauges that are counted in the database when somebody asks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sqlalchemy import func, select
from starlette.responses import Response

from portico.clock import Clock
from portico.observe.metrics import Metrics
from portico.outbox.tables import deliveries
from portico.protocol.scopes import Scope
from portico.store import Store, Work, among, statement
from portico.turns.tables import turns
from portico.web.endpoint import Answer, Endpoint, HttpCall
from portico.web.gate import Access

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
KEEP_S = 5.0

_OPEN_TURNS = statement(
    select(turns.c.state, func.count().label("count"))
    .where(among(turns.c.state, ("queued", "running")))
    .group_by(turns.c.state)
)
_UNSETTLED = statement(
    select(deliveries.c.state, func.count().label("count"))
    .where(among(deliveries.c.state, ("pending", "sending", "retry", "unknown", "failed")))
    .group_by(deliveries.c.state)
)

Counts = Mapping[tuple[str, ...], float]


class StoreGauges:
    """How many turns and deliveries are in which open state."""

    def __init__(self, *, store: Store, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._clock = clock
        self._counted_s: float | None = None
        self._turns: Counts = {}
        self._deliveries: Counts = {}
        metrics.gauge(
            "portico_turns_open",
            "Turns that wait or run.",
            lambda: self._turns,
            labels=("state",),
        )
        metrics.gauge(
            "portico_deliveries_open",
            "Deliveries not sent, and failed or unclear ones that wait for the operator.",
            lambda: self._deliveries,
            labels=("state",),
        )

    async def refresh(self) -> None:
        """Count again, unless that was done just now."""
        now = self._clock.monotonic_s()
        if self._counted_s is not None and now - self._counted_s < KEEP_S:
            return
        self._counted_s = now
        self._turns, self._deliveries = await self._store.scan(_count)


def _count() -> Work[tuple[Counts, Counts]]:
    open_turns = yield _OPEN_TURNS()
    unsettled = yield _UNSETTLED()
    zero = {("queued",): 0.0, ("running",): 0.0}
    return (
        zero | {(row["state"],): float(row["count"]) for row in open_turns},
        {(row["state"],): float(row["count"]) for row in unsettled},
    )


def metrics_endpoint(metrics: Metrics, *, store_gauges: StoreGauges | None = None) -> Endpoint:
    """Return the endpoint Prometheus reads."""

    async def handle(_call: HttpCall) -> Response:
        if store_gauges is not None:
            await store_gauges.refresh()
        text = await asyncio.to_thread(metrics.render)
        return Response(text, media_type=CONTENT_TYPE, headers={"cache-control": "no-store"})

    return Endpoint(
        method="GET",
        path="/metrics",
        handle=handle,
        operation="metrics",
        summary="Numbers for Prometheus.",
        answers={200: Answer("The text format.", str, "text/plain")},
        access=Access.THIS_MACHINE,
        needs=Scope.READ,
        tag="operations",
    )
