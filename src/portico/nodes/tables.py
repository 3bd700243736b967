"""Nodes, what each was approved for, what waits for it, and which invokes were sent."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

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
    Column("queue_revision", BigInteger, nullable=False, server_default="0"),
    Index("nodes_by_request", "request_id"),
)

waiting = Table(
    "node_waiting",
    metadata,
    Column("id", Text, primary_key=True),
    Column("node_id", Text, nullable=False),
    Column("queue", Text, nullable=False),  # work | command
    Column("name", Text, nullable=False),  # the kind of work, the command
    Column("number", BigInteger, nullable=False),  # the node's queue_revision when it came
    Column("rank", Integer, nullable=False),  # 1: before the others
    Column("params", Text),  # JSON
    Column("same", Text),  # of two that have it in common only one waits
    time_ms("created_at", nullable=False),
    time_ms("expires_at", nullable=False),
    Index("node_waiting_by_node", "node_id", "queue"),
    Index("node_waiting_by_expiry", "expires_at"),
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
