"""Nodes, what each was approved for, and which invokes were sent under which key."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text

from portico.store.schema import metadata, time_ms

nodes = Table(
    "nodes",
    metadata,
    Column("node_id", Text, primary_key=True),  # the device's id
    Column("name", Text),
    Column("about", Text, nullable=False),  # JSON: what it said of itself when it last connected
    Column("approved", Text),  # JSON: caps, commands, permissions
    time_ms("approved_at"),
    Column("approved_by", Text),
    Column("request_id", Text),
    Column("asked", Text),  # JSON: what it asks for beyond that
    Column("preapproved", Integer, nullable=False),  # 1: approved for whatever it offers next
    time_ms("created_at", nullable=False),
    time_ms("last_connected_at"),
    time_ms("last_disconnected_at"),
    time_ms("last_seen_at"),
    Column("last_seen_reason", Text),
    Column("host_stats", Text),  # JSON: the last ones
    Index("nodes_by_request", "request_id"),
)

dispatches = Table(
    "node_dispatches",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("key", Text, primary_key=True),  # the caller's idempotency key
    Column("invoke_id", Text, nullable=False),
    Column("node_id", Text, nullable=False),
    Column("command", Text, nullable=False),
    time_ms("sent_at", nullable=False),
    Index("node_dispatches_by_time", "sent_at"),
)
