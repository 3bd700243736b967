"""One row for each change somebody made to the gateway."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from portico.store.schema import metadata, time_ms

changes = Table(
    "audit_changes",
    metadata,
    # SQLite counts by itself only in a column of exactly this type.
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("action", Text, nullable=False),  # such as config.patched
    Column("actor", Text, nullable=False),  # a principal's subject, or a part of the gateway
    Column("target", Text),  # what was changed
    Column("outcome", Text, nullable=False),  # done, refused, failed
    Column("details", Text, nullable=False),  # JSON, without secrets
    time_ms("recorded_at", nullable=False),
    Index("audit_changes_recorded", "recorded_at"),
)
