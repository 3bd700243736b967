"""Nodes and what was sent to them (expand)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "nodes",
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("approved", sa.Text(), nullable=True),
        sa.Column("approved_at", sa.BigInteger(), nullable=True),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("asked", sa.Text(), nullable=True),
        sa.Column("preapproved", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_connected_at", sa.BigInteger(), nullable=True),
        sa.Column("last_disconnected_at", sa.BigInteger(), nullable=True),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=True),
        sa.Column("last_seen_reason", sa.Text(), nullable=True),
        sa.Column("host_stats", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("node_id"),
    )
    op.create_index("nodes_by_request", "nodes", ["request_id"], unique=False)
    op.create_table(
        "node_dispatches",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("invoke_id", sa.Text(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "key"),
    )
    op.create_index("node_dispatches_by_time", "node_dispatches", ["sent_at"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_index("node_dispatches_by_time", table_name="node_dispatches")
    op.drop_table("node_dispatches")
    op.drop_index("nodes_by_request", table_name="nodes")
    op.drop_table("nodes")
