"""Sessions of agents that are programs (expand)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "acp_sessions",
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("acp_session_id", sa.Text(), nullable=False),
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("agent_id", "session_id"),
    )
    op.create_index("acp_sessions_used", "acp_sessions", ["used_at"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_index("acp_sessions_used", table_name="acp_sessions")
    op.drop_table("acp_sessions")
