"""A session and one entry of its transcript, as rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from portico.agents.runtime import ModelUsed, Usage
from portico.store import Row


@dataclass(slots=True)
class Spent:
    """What model calls outside a turn used; it grows while they are made."""

    usage: Usage = field(default_factory=Usage)
    calls: int = 0
    provider: str | None = None
    model: str | None = None

    def note(self, used: ModelUsed) -> None:
        """Add one call."""
        self.usage += used.usage
        self.calls += 1
        self.provider, self.model = used.provider, used.model


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the sessions table. Times are milliseconds UTC."""

    key: str
    session_id: str
    agent_id: str
    channel: str
    chat_type: str
    created_via: str
    label: str | None
    display_name: str | None
    settings: dict[str, Any]
    model: str | None
    archived: bool
    pinned: bool
    unread: bool
    last_seq: int
    message_count: int
    input_tokens: int
    output_tokens: int
    context_tokens: int
    cost_usd: float
    last_run_id: str | None
    last_run_state: str | None
    revision: str
    reply_route: dict[str, Any] | None
    created_at: int
    session_started_at: int
    updated_at: int
    last_interaction_at: int | None
    last_run_started_at: int | None
    last_run_ended_at: int | None


_JSON_COLUMNS = frozenset({"settings", "reply_route"})
_FLAGS = frozenset({"archived", "pinned", "unread"})


def session_from_row(row: Row) -> Session:
    """Read a full sessions row."""
    values: dict[str, Any] = {}
    for name in Session.__struct_fields__:
        value = row[name]
        if name in _JSON_COLUMNS and value is not None:
            value = msgspec.json.decode(value)
        elif name in _FLAGS:
            value = bool(value)
        values[name] = value
    return Session(**values)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a transcript.

    Attributes:
        content: a string, or a list of content parts (`{type: "text", text}` …).
        meta: what the wire shows beside it: usage, stopReason, model, sender …
    """

    entry_id: str
    session_id: str
    seq: int
    role: str
    content: Any
    run_id: str | None
    meta: dict[str, Any]
    created_at: int


def entry_from_row(row: Row) -> Entry:
    """Read a session_entries row."""
    return Entry(
        entry_id=row["entry_id"],
        session_id=row["session_id"],
        seq=row["seq"],
        role=row["role"],
        content=msgspec.json.decode(row["content"]),
        run_id=row["run_id"],
        meta=msgspec.json.decode(row["meta"]),
        created_at=row["created_at"],
    )


def text_of(content: Any) -> str:
    """Return the text of an entry's content."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or () if part.get("type") == "text")
