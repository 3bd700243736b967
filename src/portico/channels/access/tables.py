"""People who may write, and people who ask to."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, Table, Text, UniqueConstraint

from portico.store.schema import metadata, time_ms

approved = Table(
    "channel_approved",
    metadata,
    Column("channel", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("sender", Text, nullable=False),  # the provider's stable id
    Column("sender_name", Text),
    Column("approved_by", Text, nullable=False),
    time_ms("approved_at", nullable=False),
    PrimaryKeyConstraint("channel", "account", "sender"),
)

requests = Table(
    "channel_pairing_requests",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("sender_name", Text),
    Column("code_hash", Text, nullable=False),  # the person has the code, we do not
    Column("state", Text, nullable=False),  # see access/life.py
    Column("route", Text, nullable=False),  # JSON of the ReplyRoute: where to tell the person
    Column("messages", Integer, nullable=False),  # how often the person wrote since
    time_ms("created_at", nullable=False),
    time_ms("seen_at", nullable=False),
    time_ms("expires_at", nullable=False),
    UniqueConstraint("channel", "account", "sender", name="channel_pairing_once"),
    Index("channel_pairing_expires", "expires_at"),
)
