"""What owners call their devices, salted device tokens, setup codes (expand)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Apply."""
    op.add_column("auth_devices", sa.Column("label", sa.Text(), nullable=True))
    op.add_column("auth_devices", sa.Column("remote_ip", sa.Text(), nullable=True))
    op.add_column("auth_devices", sa.Column("created_at", sa.BigInteger(), nullable=True))
    op.add_column(
        "auth_device_tokens", sa.Column("salt", sa.Text(), server_default="", nullable=False)
    )
    op.execute("DELETE FROM auth_pairing_requests")  # they last five minutes, and are asked again
    op.drop_index("auth_pairing_requests_device", table_name="auth_pairing_requests")
    op.create_index(
        "auth_pairing_requests_of", "auth_pairing_requests", ["device_id", "role"], unique=True
    )
    op.create_table(
        "auth_bootstrap_tokens",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("setup_id", sa.Text(), nullable=False),
        sa.Column("access", sa.Text(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=True),
        sa.Column("device_name", sa.Text(), nullable=True),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index(
        "auth_bootstrap_tokens_setup", "auth_bootstrap_tokens", ["setup_id"], unique=True
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index("auth_bootstrap_tokens_setup", table_name="auth_bootstrap_tokens")
    op.drop_table("auth_bootstrap_tokens")
    op.drop_index("auth_pairing_requests_of", table_name="auth_pairing_requests")
    op.create_index(
        "auth_pairing_requests_device", "auth_pairing_requests", ["device_id", "role"], unique=False
    )
    op.drop_column("auth_device_tokens", "salt")
    op.drop_column("auth_devices", "created_at")
    op.drop_column("auth_devices", "remote_ip")
    op.drop_column("auth_devices", "label")
