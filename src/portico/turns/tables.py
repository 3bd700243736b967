"""Turns: what is waiting, running and done in every lane.

A lane is all turns of one session key. The partial unique index makes a second running turn in a
lane impossible, whatever replica tries.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from portico.store.schema import metadata, partial_index, time_ms

turns = Table(
    "turns",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("session_key", Text, nullable=False),
    Column("session_id", Text),  # set when it starts
    Column("agent_id", Text, nullable=False),
    Column("position", BigInteger, nullable=False),  # order within the lane
    Column("state", Text, nullable=False),  # see life.py
    Column("queue_mode", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("request", Text, nullable=False),  # JSON of the TurnRequest
    Column("reply_route", Text, nullable=False),  # JSON
    Column("owner", Text),
    Column("fence", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("unsafe", Integer, nullable=False),  # a tool with side effects has started
    Column("cancel_reason", Text),
    Column("merged_into", Text),
    Column("result", Text),  # JSON of the TurnResult
    Column("task", Text),  # work nobody waits for: cron | subagent | cli
    Column("asked_by", Text),  # the session whose agent asked for it
    time_ms("lease_until"),
    time_ms("queued_at", nullable=False),
    time_ms("started_at"),
    time_ms("ended_at"),
    time_ms("expires_at"),
    partial_index(
        "turns_one_running",
        "session_key",
        unique=True,
        where="state = 'running'",
    ),
    partial_index(
        "turns_waiting",
        "session_key",
        "position",
        where="state = 'queued'",
    ),
    partial_index(
        "turns_open",
        "state",
        "lease_until",
        where="state IN ('queued', 'running')",
    ),
    partial_index(
        "turns_taken",
        "merged_into",
        where="merged_into IS NOT NULL",
    ),
    partial_index(
        "turns_tasks",
        "task",
        "state",
        where="task IS NOT NULL",
    ),
    Index("turns_ended", "ended_at"),
)
