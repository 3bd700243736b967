"""Which files there are, who refers to them, and what was heard in them. Bytes are on the disk."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, Text

from portico.store.schema import metadata, time_ms

files = Table(
    "media_files",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("mime_type", Text, nullable=False),  # by its bytes
    time_ms("created_at", nullable=False),
    time_ms("used_at", nullable=False),  # when it was last referred to
)

uses = Table(
    "media_uses",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("session_key", Text, nullable=False),
    time_ms("used_at", nullable=False),
    Index("media_uses_by_time", "used_at"),
    Index("media_uses_by_session", "session_key"),
)

transcripts = Table(
    "media_transcripts",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("engine", Text, primary_key=True),  # who listened, and how
    Column("text", Text, nullable=False),
    time_ms("created_at", nullable=False),
)
