"""Deliveries and every attempt at them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from portico.store.schema import metadata, partial_index, time_ms

deliveries = Table(
    "outbox_deliveries",
    metadata,
    Column("delivery_id", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column(
        "conversation", Text, nullable=False
    ),  # channel, account, peer and thread: the order unit
    Column("position", BigInteger, nullable=False),
    Column("route", Text, nullable=False),  # JSON of the ReplyRoute
    Column("body", Text, nullable=False),  # JSON: text and media
    Column("state", Text, nullable=False),  # see life.py
    Column("run_id", Text),
    Column("session_key", Text),
    Column("attempts", Integer, nullable=False),
    Column("uncertain", Integer, nullable=False),  # an attempt may have reached the provider
    Column("last_error", Text),
    Column("receipt", Text),  # JSON: what the provider answered
    Column("owner", Text),
    time_ms("lease_until"),
    time_ms("created_at", nullable=False),
    time_ms("next_attempt_at", nullable=False),
    time_ms("expires_at", nullable=False),
    time_ms("ended_at"),
    # Written as the queries are: SQLite compares the words, and does not know that IN means OR.
    partial_index(
        "outbox_deliveries_waiting",
        "next_attempt_at",
        where="state = 'pending' OR state = 'retry'",
    ),
    partial_index(
        "outbox_deliveries_open",
        "conversation",  # nothing more: the narrower one is taken, not outbox_deliveries_order
        where="state = 'pending' OR state = 'retry' OR state = 'sending'",
    ),
    partial_index(
        "outbox_deliveries_stuck",
        "state",
        where="state = 'failed' OR state = 'unknown' OR state = 'expired'",
    ),
    Index("outbox_deliveries_order", "conversation", "position"),
    Index("outbox_deliveries_by_run", "run_id"),
    Index("outbox_deliveries_ended", "ended_at"),
)

attempts = Table(
    "outbox_attempts",
    metadata,
    Column("delivery_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("outcome", Text),  # sent | retry | unknown | failed; null while it is being made
    Column("error", Text),
    time_ms("started_at", nullable=False),
    time_ms("ended_at"),
)
