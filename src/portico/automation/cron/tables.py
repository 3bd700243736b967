"""Jobs and their runs.

A run's primary key is its job and slot: whatever replica tries, and however often, a slot runs
once. The partial unique index makes two open runs of one job impossible.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from portico.store.schema import metadata, partial_index, time_ms

jobs = Table(
    "cron_jobs",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("declaration_key", Text),  # how a caller that declares its jobs knows this one
    Column("agent_id", Text),
    Column("is_enabled", Integer, nullable=False),
    Column("definition", Text, nullable=False),  # JSON of the Definition
    Column("state", Text, nullable=False),  # JSON of the JobState
    Column("revision", Text, nullable=False),
    time_ms("slot_at"),  # the first slot nobody has acted on
    time_ms("wake_at"),  # when to act on it
    time_ms("created_at", nullable=False),
    time_ms("updated_at", nullable=False),
    partial_index("cron_jobs_due", "wake_at", where="is_enabled = 1"),
    Index("cron_jobs_declared", "declaration_key", unique=True),
)

runs = Table(
    "cron_runs",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("slot", Text, primary_key=True),  # the slot in ms, or what sets a manual run apart
    Column("run_id", Text, nullable=False),  # also of its turn
    Column("job_name", Text, nullable=False),
    Column("cause", Text, nullable=False),  # schedule | manual
    Column("state", Text, nullable=False),  # see life.py
    Column("agent_id", Text, nullable=False),
    Column("session_key", Text),
    Column("session_id", Text),
    Column("owns_session", Integer, nullable=False),  # made for this run, and forgotten after it
    Column("route", Text),  # JSON of the ReplyRoute the answer goes to, frozen at the start
    Column("best_effort", Integer, nullable=False),
    Column("status", Text),  # ok | error | skipped
    Column("error", Text),
    Column("error_reason", Text),
    Column("summary", Text),  # the answer, shortened
    Column("model", Text),
    Column("provider", Text),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("delivery_id", Text),
    Column("delivery_status", Text),
    Column("delivery_error", Text),
    Column("suppressed", Text),  # why an answer was not delivered though it could have been
    time_ms("slot_at", nullable=False),
    time_ms("started_at", nullable=False),
    time_ms("ended_at"),
    time_ms("next_run_at"),
    Index("cron_runs_by_id", "run_id", unique=True),
    Index("cron_runs_recent", "started_at"),
    Index("cron_runs_by_job", "job_id", "started_at"),
    partial_index("cron_runs_one_open", "job_id", unique=True, where="state <> 'finished'"),
    partial_index("cron_runs_undelivered", "ended_at", where="delivery_status = 'unknown'"),
    partial_index("cron_runs_with_session", "ended_at", where="owns_session = 1"),
)
