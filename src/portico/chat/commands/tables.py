"""Commands that were given, until they are answered and a while after."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text

from portico.store.schema import metadata, partial_index, time_ms

orders = Table(
    "command_orders",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("body", Text, nullable=False),  # JSON of the Order
    Column("state", Text, nullable=False),  # waiting | done
    Column("owner", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("answer", Text),
    time_ms("lease_until", nullable=False),
    time_ms("given_at", nullable=False),
    time_ms("done_at"),
    partial_index("command_orders_waiting", "lease_until", where="state = 'waiting'"),
    Index("command_orders_done", "done_at"),
)
