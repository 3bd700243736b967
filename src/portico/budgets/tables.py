"""Budgets: what was spent in each window, and what is reserved for turns that run.

A counter is one subject's spending in one window: (scope, subject, starts_at, ends_at).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, Text

from portico.store.schema import metadata, time_ms

spent = Table(
    "budgets_spent",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("starts_at", BigInteger, primary_key=True),
    Column("ends_at", BigInteger, primary_key=True),
    Column("tokens", BigInteger, nullable=False),
    Column("nano_usd", BigInteger, nullable=False),
    time_ms("warned_at"),
    time_ms("exhausted_at"),
    Index("budgets_spent_by_end", "ends_at"),
)

reserved = Table(
    "budgets_reserved",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("starts_at", BigInteger, primary_key=True),
    Column("ends_at", BigInteger, primary_key=True),
    Column("tokens", BigInteger, nullable=False),
    Column("nano_usd", BigInteger, nullable=False),
    time_ms("expires_at", nullable=False),
    Index("budgets_reserved_by_counter", "scope", "subject", "starts_at", "ends_at"),
    Index("budgets_reserved_by_expiry", "expires_at"),
)
