"""Finding words in what was said.

Guarantees: at most `MAX_READ` entries are looked at, the newest first: what a search costs does not
grow with what was ever said.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec
from sqlalchemy import bindparam, select

from portico.sessions.model import text_of
from portico.sessions.tables import entries, sessions
from portico.store import Work, among, statement

MAX_READ = 20_000
AT_ONCE = 500
SNIPPET_CHARS = 240
_BEFORE_HIT = 80

_PAGE = statement(
    select(
        sessions.c.key,
        sessions.c.agent_id,
        entries.c.session_id,
        entries.c.entry_id,
        entries.c.role,
        entries.c.content,
        entries.c.created_at,
    )
    .join(sessions, sessions.c.session_id == entries.c.session_id)
    .where(among(entries.c.role, ("user", "assistant")), entries.c.entry_id < bindparam("before"))
    .order_by(entries.c.entry_id.desc())
    .limit(bindparam("count"))
)


@dataclass(frozen=True, slots=True)
class Hit:
    """One message that holds every word.

    Attributes:
        score: how often the words are in it.
    """

    key: str
    session_id: str
    entry_id: str
    role: str
    created_at: int
    snippet: str
    score: int


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked for; `keys`: only in these sessions, `None`: in all."""

    words: tuple[str, ...]
    keys: Collection[str] | None = None
    agent_id: str | None = None
    limit: int = 10


def search(sought: Sought) -> Work[tuple[list[Hit], bool]]:
    """Return the newest messages with all the words; and whether older ones were not looked at."""
    hits: list[Hit] = []
    before, read = "zzzzzzzz", 0
    while read < MAX_READ:
        rows = yield _PAGE(before=before, count=AT_ONCE)
        for row in rows:
            if sought.agent_id is not None and row["agent_id"] != sought.agent_id:
                continue
            if sought.keys is not None and row["key"] not in sought.keys:
                continue
            text = text_of(msgspec.json.decode(row["content"]))
            if (found := _hit(text, sought.words)) is not None:
                snippet, score = found
                hits.append(
                    Hit(
                        row["key"],
                        row["session_id"],
                        row["entry_id"],
                        row["role"],
                        row["created_at"],
                        snippet,
                        score,
                    )
                )
                if len(hits) >= sought.limit:
                    return hits, True
        if len(rows) < AT_ONCE:
            return hits, False
        before, read = rows[-1]["entry_id"], read + len(rows)
    return hits, True


def _hit(text: str, words: tuple[str, ...]) -> tuple[str, int] | None:
    folded = text.casefold()
    counts = [folded.count(word) for word in words]
    if not all(counts):
        return None
    begin = max(0, min(folded.find(word) for word in words) - _BEFORE_HIT)
    part = " ".join(text[begin : begin + SNIPPET_CHARS].split())
    shown = f"…{part}" if begin else part
    return (f"{shown}…" if begin + SNIPPET_CHARS < len(text) else shown), sum(counts)
