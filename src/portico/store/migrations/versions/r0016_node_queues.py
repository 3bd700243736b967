"""What waits for nodes (expand)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "nodes",
        sa.Column("queue_revision", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.create_table(
        "node_waiting",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("params", sa.Text(), nullable=True),
        sa.Column("same", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("node_waiting_by_node", "node_waiting", ["node_id", "queue"])
    op.create_index("node_waiting_by_expiry", "node_waiting", ["expires_at"])


def downgrade() -> None:
    """Take back."""
    op.drop_table("node_waiting")
    op.drop_column("nodes", "queue_revision")
