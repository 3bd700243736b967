"""Files by the hash of their content (expand)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "media_files",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("mime_type", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_table(
        "media_uses",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("session_key", sa.Text(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", "message_id"),
    )
    op.create_index("media_uses_by_time", "media_uses", ["used_at"], unique=False)
    op.create_index("media_uses_by_session", "media_uses", ["session_key"], unique=False)
    op.create_table(
        "media_transcripts",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("engine", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", "engine"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("media_transcripts")
    op.drop_index("media_uses_by_session", table_name="media_uses")
    op.drop_index("media_uses_by_time", table_name="media_uses")
    op.drop_table("media_uses")
    op.drop_table("media_files")
