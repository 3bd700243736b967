"""What agents are to be told at their next heartbeat, and a few facts of the whole gateway."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text

from portico.store.schema import metadata, time_ms

events = Table(
    "automation_events",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("session_key", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),  # of the text, to keep it once
    Column("text", Text, nullable=False),
    Column("is_untrusted", Integer, nullable=False),  # nobody vouches for who wrote it
    time_ms("created_at", nullable=False),
    Index("automation_events_once", "session_key", "fingerprint", unique=True),
)

facts = Table(
    "automation_facts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),  # JSON
    time_ms("updated_at", nullable=False),
)
