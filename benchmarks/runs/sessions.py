"""`sessions.list` when there are 100,000 sessions."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.figures import Aim, Figure, Unit
from benchmarks.servers import Bench, Pair

SESSIONS = 100_000
STATE = "many-sessions"
DAY_MS = 86_400_000
NOW_MS = 1_790_000_000_000


def measure(bench: Bench) -> list[Figure]:
    """Fill a database, then ask for its newest sessions."""
    with bench.gateway(STATE):  # makes the schema
        pass
    fill(_database(bench.state_dir(STATE)), SESSIONS)
    with bench.both(STATE) as pair:
        plain = _asked(pair, {})
        dressed = _asked(pair, {"includeDerivedTitles": True, "includeLastMessage": True})
        searched = _asked(pair, {"search": "bench-99"})
    also = f"with titles and previews {dressed.value:.1f} ms, with a search {searched.value:.1f} ms"
    return [msgspec.structs.replace(plain, also=also)]


def _asked(pair: Pair, params: dict[str, Any]) -> Figure:
    raw = msgspec.Raw(msgspec.json.encode(params))
    job = {"scenario": "call", "operations": 30, "method": "sessions.list", "params": raw}
    bare, gateway = pair.compare({**job, "method": "echo"}, job)
    unit: Unit = "ms"
    return Figure(
        name=f"sessions.list of {SESSIONS:,}, newest 100",
        unit=unit,
        value=gateway.p50_ms,
        baseline=bare.p50_ms,
        aim=Aim(20),
    )


def _database(state: Path) -> Path:
    (found,) = state.glob("*.sqlite")
    return found


def fill(database: Path, count: int) -> None:
    """Insert sessions over a hundred days, each with one message."""
    with sqlite3.connect(database) as connection:
        connection.executemany(_SESSION, map(_session, range(count)))
        connection.executemany(_ENTRY, map(_entry, range(count)))
        connection.execute("ANALYZE")
    connection.close()


_COLUMNS = (
    "key, session_id, agent_id, channel, chat_type, created_via, settings, archived, pinned,"
    " unread, last_seq, message_count, input_tokens, output_tokens, context_tokens, cost_usd,"
    " revision, created_at, session_started_at, updated_at, last_interaction_at, last_run_state,"
    " label"
)
_SESSION = f"INSERT INTO sessions ({_COLUMNS}) VALUES (?{', ?' * _COLUMNS.count(',')})"
_ENTRY = (
    "INSERT INTO session_entries (session_id, seq, entry_id, role, content, meta, created_at)"
    " VALUES (?, 1, ?, 'user', ?, '{}', ?)"
)


def _session(number: int) -> tuple[Any, ...]:
    at = NOW_MS - number * DAY_MS // 1_000
    archived = int(number % 20 == 19)
    return (
        f"agent:main:bench-{number}",
        f"session-{number}",
        "main",
        "webchat",
        "direct",
        "operator",
        "{}",
        *(archived, 0, 1, 1, 1, 10, 20, 10, 0.0),
        f"revision-{number}",
        *(at, at, at, at),
        "done",
        f"Label {number}" if number % 3 == 0 else None,
    )


def _entry(number: int) -> tuple[Any, ...]:
    return (f"session-{number}", f"entry-{number}", '"How is the weather today?"', NOW_MS)
