"""Every message that was ever accepted, and what was decided about it."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table, Text, UniqueConstraint

from portico.store.schema import metadata, time_ms

messages = Table(
    "inbox_messages",
    metadata,
    Column("message_id", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("event_key", Text, nullable=False),  # the provider's own id of the event
    Column("fingerprint", Text, nullable=False),  # of what was asked, to tell a repeat from a reuse
    Column("peer_kind", Text, nullable=False),
    Column("peer_id", Text, nullable=False),
    Column("thread_id", Text),
    Column("sender", Text, nullable=False),
    Column("body", Text, nullable=False),  # JSON: text, content parts, context
    Column("state", Text, nullable=False),  # queued | context | refused
    Column("reason", Text),  # why it was refused or kept as context
    Column("session_key", Text),
    Column("run_id", Text),
    Column("reply_route", Text, nullable=False),  # JSON, frozen here
    Column("trace_id", Text),
    time_ms("received_at", nullable=False),
    UniqueConstraint("channel", "account", "event_key", name="inbox_messages_once"),
    Index("inbox_messages_by_run", "run_id"),
    Index("inbox_messages_by_time", "received_at"),
)
