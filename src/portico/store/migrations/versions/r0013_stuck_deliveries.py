"""An index of the deliveries that wait for a person (expand)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

# SQLite uses such an index only for conditions that are written like its own.
STUCK = sa.text("state = 'failed' OR state = 'unknown' OR state = 'expired'")


def upgrade() -> None:
    """Apply."""
    op.create_index(
        "outbox_deliveries_stuck",
        "outbox_deliveries",
        ["state"],
        unique=False,
        sqlite_where=STUCK,
        postgresql_where=STUCK,
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index("outbox_deliveries_stuck", table_name="outbox_deliveries")
