"""Approvals, pending and past, and which gateway processes have reviewers connected."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text

from portico.store.schema import metadata, partial_index, time_ms

approvals = Table(
    "approvals",
    metadata,
    Column("approval_id", Text, primary_key=True),
    Column("state", Text, nullable=False),  # see life.py
    Column("request", Text, nullable=False),  # JSON of the wire's `request`
    Column("allowed", Text, nullable=False),  # JSON: decisions
    Column("origin", Text, nullable=False),  # client | agent
    Column("fingerprint", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("reviewers", Text, nullable=False),  # JSON: device ids
    Column("silent", Integer, nullable=False),
    Column("decision", Text),
    Column("reason", Text),
    Column("resolver_kind", Text),  # device | runtime | system
    Column("resolver_id", Text),
    Column("resolved_by", Text),  # for people
    Column("owner", Text),  # the process that asks, when an agent of it does
    time_ms("lease_until"),
    time_ms("created_at", nullable=False),
    time_ms("expires_at", nullable=False),
    time_ms("resolved_at"),
    time_ms("consumed_at"),  # an asker has acted on the decision
    partial_index("approvals_pending", "expires_at", where="state = 'pending'"),
    partial_index(
        "approvals_unused", "fingerprint", where="consumed_at IS NULL AND origin = 'agent'"
    ),
    Index("approvals_resolved", "resolved_at", "approval_id"),
)

watchers = Table(
    "approval_watchers",
    metadata,
    Column("owner", Text, primary_key=True),
    time_ms("until", nullable=False),
)
