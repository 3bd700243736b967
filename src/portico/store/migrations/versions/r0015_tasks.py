"""Which turns are work nobody waits for (expand)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

TASKS = sa.text("task IS NOT NULL")


def upgrade() -> None:
    """Apply."""
    op.add_column("turns", sa.Column("task", sa.Text(), nullable=True))
    op.add_column("turns", sa.Column("asked_by", sa.Text(), nullable=True))
    op.create_index(
        "turns_tasks",
        "turns",
        ["task", "state"],
        unique=False,
        sqlite_where=TASKS,
        postgresql_where=TASKS,
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index("turns_tasks", table_name="turns")
    op.drop_column("turns", "asked_by")
    op.drop_column("turns", "task")
