"""Indexes of open deliveries that the sender's queries use (expand)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

# SQLite uses such an index only for conditions that are written like its own.
WAITING = sa.text("state = 'pending' OR state = 'retry'")
OPEN = sa.text("state = 'pending' OR state = 'retry' OR state = 'sending'")
DUE = sa.text("state IN ('pending', 'retry', 'sending')")


def upgrade() -> None:
    """Apply."""
    op.create_index(
        "outbox_deliveries_waiting",
        "outbox_deliveries",
        ["next_attempt_at"],
        unique=False,
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )
    op.create_index(
        "outbox_deliveries_open",
        "outbox_deliveries",
        ["conversation"],
        unique=False,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
    op.drop_index("outbox_deliveries_due", table_name="outbox_deliveries")


def downgrade() -> None:
    """Take back."""
    op.create_index(
        "outbox_deliveries_due",
        "outbox_deliveries",
        ["channel", "account", "next_attempt_at"],
        unique=False,
        sqlite_where=DUE,
        postgresql_where=DUE,
    )
    op.drop_index("outbox_deliveries_open", table_name="outbox_deliveries")
    op.drop_index("outbox_deliveries_waiting", table_name="outbox_deliveries")
