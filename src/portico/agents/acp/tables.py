"""Which session of its own an agent's program keeps for one of our sessions."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table, Text

from portico.store.schema import metadata, time_ms

acp_sessions = Table(
    "acp_sessions",
    metadata,
    Column("agent_id", Text, primary_key=True),
    Column("session_id", Text, primary_key=True),
    Column("acp_session_id", Text, nullable=False),
    Column("program", Text, nullable=False),  # another program does not know it
    time_ms("used_at", nullable=False),
    Index("acp_sessions_used", "used_at"),
)
