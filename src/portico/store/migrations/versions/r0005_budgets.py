"""Budgets: what was spent, and what is reserved (expand)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "budgets_spent",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("warned_at", sa.BigInteger(), nullable=True),
        sa.Column("exhausted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("scope", "subject", "starts_at", "ends_at"),
    )
    op.create_index("budgets_spent_by_end", "budgets_spent", ["ends_at"], unique=False)
    op.create_table(
        "budgets_reserved",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "scope", "subject", "starts_at", "ends_at"),
    )
    op.create_index(
        "budgets_reserved_by_counter",
        "budgets_reserved",
        ["scope", "subject", "starts_at", "ends_at"],
        unique=False,
    )
    op.create_index("budgets_reserved_by_expiry", "budgets_reserved", ["expires_at"], unique=False)
