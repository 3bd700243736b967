"""Sessions, and the entries of their transcripts.

A session is known by its key for ever; its `session_id` changes when it is reset, and with it the
transcript it shows. `sort_at` is what lists are ordered by.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, Table, Text

from portico.store.schema import metadata, time_ms

sessions = Table(
    "sessions",
    metadata,
    Column("key", Text, primary_key=True),
    Column("session_id", Text, nullable=False),
    Column("agent_id", Text, nullable=False),
    Column("channel", Text, nullable=False),  # the door it was first entered by
    Column("chat_type", Text, nullable=False),  # direct | group | channel
    Column("created_via", Text, nullable=False),  # operator | run | channel
    Column("label", Text),
    Column("display_name", Text),
    Column("settings", Text, nullable=False),  # JSON: what is patched and never queried
    Column("model", Text),
    Column("archived", Integer, nullable=False),
    Column("pinned", Integer, nullable=False),
    Column("unread", Integer, nullable=False),
    Column("last_seq", BigInteger, nullable=False),  # of the current transcript
    Column("message_count", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("context_tokens", BigInteger, nullable=False),  # of the last model call
    Column("cost_usd", Float, nullable=False),
    Column("last_run_id", Text),
    Column("last_run_state", Text),
    Column("revision", Text, nullable=False),  # changes with every reset, patch and delete
    Column("reply_route", Text),  # JSON: where the last message came from
    time_ms("created_at", nullable=False),
    time_ms("session_started_at", nullable=False),
    time_ms("updated_at", nullable=False),
    time_ms("last_interaction_at"),
    time_ms("last_run_started_at"),
    time_ms("last_run_ended_at"),
    Index("sessions_recent", "archived", "updated_at"),
    Index("sessions_by_agent", "agent_id", "archived", "updated_at"),
    Index("sessions_by_session_id", "session_id"),
    Index("sessions_by_label", "label"),
)

entries = Table(
    "session_entries",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("entry_id", Text, nullable=False),
    Column("role", Text, nullable=False),  # user | assistant | toolResult | system
    Column("content", Text, nullable=False),  # JSON: a string or content parts
    Column("run_id", Text),
    Column("meta", Text, nullable=False),  # JSON: usage, model, stop reason, sender, …
    time_ms("created_at", nullable=False),
    Index("session_entries_by_id", "entry_id", unique=True),
    Index("session_entries_by_run", "run_id"),
)
