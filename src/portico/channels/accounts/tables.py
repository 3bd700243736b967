"""Accounts of channels, and the events that are no messages."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from portico.store.schema import metadata, time_ms

accounts = Table(
    "channel_accounts",
    metadata,
    Column("channel", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("desired", Text, nullable=False),  # running | stopped: what the operator wants
    Column("observed", Text, nullable=False),  # see life.py
    Column("cursor", Text),  # the provider's, opaque
    Column("owner", Text),  # the replica that has it; null: none, or every one
    Column("fence", BigInteger, nullable=False),  # rises with each change of the owner
    time_ms("lease_until"),
    Column("generation", BigInteger, nullable=False),  # rises with each run
    Column("failures", Integer, nullable=False),  # in a row
    Column("restarts", BigInteger, nullable=False),  # after failures, ever
    Column("last_error", Text),
    Column("identity", Text),  # JSON: who the account is at the provider
    time_ms("started_at"),
    time_ms("stopped_at"),
    time_ms("connected_at"),
    time_ms("received_at"),  # the last message
    time_ms("alive_at"),  # the last sign of life of the receiving side
    time_ms("sent_at"),
    Column("pairing_failures", Integer, nullable=False),  # wrong codes in a row
    time_ms("pairing_locked_until"),
    time_ms("updated_at", nullable=False),
    PrimaryKeyConstraint("channel", "account"),
)

events = Table(
    "channel_events",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("event_key", Text, nullable=False),  # the provider's own id of the event
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),  # JSON of the ChannelEvent
    time_ms("received_at", nullable=False),
    UniqueConstraint("channel", "account", "event_key", name="channel_events_once"),
    Index("channel_events_by_time", "received_at"),
)
