"""Scheduled jobs and their runs (expand)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "cron_jobs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("declaration_key", sa.Text(), nullable=True),
        sa.Column("agent_id", sa.Text(), nullable=True),
        sa.Column("is_enabled", sa.Integer(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("slot_at", sa.BigInteger(), nullable=True),
        sa.Column("wake_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job_id"),
    )
    op.create_index("cron_jobs_declared", "cron_jobs", ["declaration_key"], unique=True)
    _partial_index("cron_jobs_due", "cron_jobs", ["wake_at"], where="is_enabled = 1")
    op.create_table(
        "cron_runs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("slot", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("session_key", sa.Text(), nullable=True),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("owns_session", sa.Integer(), nullable=False),
        sa.Column("route", sa.Text(), nullable=True),
        sa.Column("best_effort", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("error_reason", sa.Text(), nullable=True),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("delivery_id", sa.Text(), nullable=True),
        sa.Column("delivery_status", sa.Text(), nullable=True),
        sa.Column("delivery_error", sa.Text(), nullable=True),
        sa.Column("suppressed", sa.Text(), nullable=True),
        sa.Column("slot_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("next_run_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", "slot"),
    )
    op.create_index("cron_runs_by_id", "cron_runs", ["run_id"], unique=True)
    op.create_index("cron_runs_by_job", "cron_runs", ["job_id", "started_at"], unique=False)
    op.create_index("cron_runs_recent", "cron_runs", ["started_at"], unique=False)
    _partial_index(
        "cron_runs_one_open", "cron_runs", ["job_id"], where="state <> 'finished'", unique=True
    )
    _partial_index(
        "cron_runs_undelivered", "cron_runs", ["ended_at"], where="delivery_status = 'unknown'"
    )
    _partial_index("cron_runs_with_session", "cron_runs", ["ended_at"], where="owns_session = 1")


def _partial_index(
    name: str, table: str, columns: list[str], *, where: str, unique: bool = False
) -> None:
    condition = sa.text(where)
    op.create_index(
        name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("cron_runs")
    op.drop_table("cron_jobs")
