"""What idempotency keys answered."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table, Text

from portico.store.schema import metadata, time_ms

idempotency = Table(
    "rpc_idempotency",
    metadata,
    Column("scope", Text, primary_key=True),  # method and caller
    Column("key", Text, primary_key=True),
    Column("params_hash", Text, nullable=False),
    Column("result", Text),  # JSON; null while the first call is running or after a crash in it
    Column("error", Text),  # JSON of the error's shape
    time_ms("created_at", nullable=False),
    time_ms("expires_at", nullable=False),
    Index("rpc_idempotency_expires", "expires_at"),
)
