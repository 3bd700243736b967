"""Lists of sessions: filters, pages, totals, and the titles and previews a list may ask for.

Guarantees: an unfiltered list reads its page along an index and counts along an index, whatever
the number of sessions; a filter on text reads them all. A list is one consistent snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, bindparam, func, or_, select

from portico.sessions.model import Session, session_from_row
from portico.sessions.shapes import PREVIEW_CHARS, TITLE_CHARS, one_line
from portico.sessions.tables import entries, sessions
from portico.store import Statement, Work, among, statement

c = sessions.c
SortBy = Literal["updatedAt", "lastInteractionAt", "activity"]
DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000

_SORT: dict[SortBy, ColumnElement[Any]] = {
    "updatedAt": c.updated_at,
    "lastInteractionAt": c.last_interaction_at,
    "activity": func.coalesce(c.last_run_ended_at, c.last_interaction_at, c.updated_at),
}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sessions; `None`: whatever it is.

    Attributes:
        search: part of the key, label or name, in any case.
        keys_like, keys_unlike: SQL patterns the key must, or must not, match.
    """

    archived: bool | None = False
    agent_id: str | None = None
    label: str | None = None
    search: str | None = None
    updated_after: int | None = None
    pinned: bool | None = None
    running: bool | None = None
    interacted: bool | None = None
    category: str | None = None
    parent: str | None = None
    agents: tuple[str, ...] | None = None
    exclude_subagents: bool | None = None
    exclude_cron: bool | None = None
    include_sentinels: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """One session of a page, with what was asked for beside it."""

    session: Session
    title: str | None = None
    preview: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page and how many sessions there are in all."""

    items: tuple[Listed, ...]
    total: int


def list_sessions(
    wanted: Filter,
    *,
    limit: int,
    offset: int = 0,
    sort_by: SortBy = "updatedAt",
    titles: bool = False,
    previews: bool = False,
) -> Work[Page]:
    """Return a page of the sessions a filter names, newest first."""
    shape = _shape(wanted)
    params = _params(wanted)
    rows = yield _paging(shape, sort_by)(**params, count=limit, skip=offset)
    total = offset + len(rows)
    if len(rows) == limit or (offset and not rows):  # else this is the end of them
        total = (yield _counting(shape)(**params))[0]["n"]
        if not wanted.include_sentinels:
            total -= (yield _counting_sentinels(shape)(**params))[0]["n"]
    items = []
    for row in rows:
        one = yield from listed(session_from_row(row), titles=titles, previews=previews)
        items.append(one)
    return Page(tuple(items), total)


def listed(session: Session, *, titles: bool, previews: bool) -> Work[Listed]:
    """Add a title and a preview to a session, where asked for."""
    title = preview = None
    if titles:
        title = yield from _text(_FIRST_SAID, session.session_id, TITLE_CHARS)
    if previews:
        preview = (yield from _text(_LAST_SAID, session.session_id, PREVIEW_CHARS)) or None
    return Listed(session, title, preview)


def find_by_session_id(session_id: str) -> Work[list[Session]]:
    """Return the session that shows a transcript."""
    return [session_from_row(row) for row in (yield _BY_SESSION_ID(sid=session_id))]


def find_by_session_id_prefix(prefix: str) -> Work[list[Session]]:
    """Return the first few sessions whose session id begins so."""
    low = prefix.lower()
    rows = yield _BY_PREFIX(low=low, high=f"{low}g", count=11)  # ids are hexadecimal: g is after
    return [session_from_row(row) for row in rows]


def find_by_label(label: str) -> Work[list[Session]]:
    """Return the first few sessions with a label, the newest first."""
    return [session_from_row(row) for row in (yield _BY_LABEL(wanted=label, count=11))]


def said_last(session_id: str, *, limit: int) -> Work[list[tuple[str, Any]]]:
    """Return role and content of the last messages of persons and agents, oldest first."""
    rows = yield _LAST_MESSAGES(sid=session_id, count=limit)
    return [(row["role"], msgspec.json.decode(row["content"])) for row in reversed(rows)]


def counts_by_agent() -> Work[dict[str, int]]:
    """Return how many sessions each agent has."""
    return {row["agent_id"]: row["n"] for row in (yield _COUNTS())}


_SPOKEN = ("user", "assistant")
_FIRST_SAID = statement(
    select(entries.c.content)
    .where(entries.c.session_id == bindparam("sid"), entries.c.role == "user")
    .order_by(entries.c.seq)
    .limit(1)
)
_LAST_SAID = statement(
    select(entries.c.content)
    .where(entries.c.session_id == bindparam("sid"), among(entries.c.role, _SPOKEN))
    .order_by(entries.c.seq.desc())
    .limit(1)
)
_LAST_MESSAGES = statement(
    select(entries.c.role, entries.c.content)
    .where(entries.c.session_id == bindparam("sid"), among(entries.c.role, _SPOKEN))
    .order_by(entries.c.seq.desc())
    .limit(bindparam("count"))
)
_BY_SESSION_ID = statement(select(sessions).where(c.session_id == bindparam("sid")))
_BY_PREFIX = statement(
    select(sessions)
    .where(c.session_id >= bindparam("low"), c.session_id < bindparam("high"))
    .order_by(c.session_id)
    .limit(bindparam("count"))
)
_BY_LABEL = statement(
    select(sessions)
    .where(c.label == bindparam("wanted"))
    .order_by(c.updated_at.desc())
    .limit(bindparam("count"))
)
_COUNTS = statement(select(c.agent_id, func.count().label("n")).group_by(c.agent_id))


def _text(query: Statement, session_id: str, limit: int) -> Work[str]:
    rows = yield query(sid=session_id)
    return one_line(msgspec.json.decode(rows[0]["content"]), limit) if rows else ""


Shape = tuple[tuple[str, Any], ...]
_BY_VALUE = frozenset({"agents"})  # goes into the statement: as many conditions as values


def _shape(wanted: Filter) -> Shape:
    """Return which conditions a filter has, without their values: one statement for each."""
    present = []
    for field in fields(wanted):
        value = getattr(wanted, field.name)
        if value is not None:
            by_value = isinstance(value, bool) or field.name in _BY_VALUE
            present.append((field.name, value if by_value else True))
    return tuple(present)


def _params(wanted: Filter) -> dict[str, Any]:
    like = None if wanted.search is None else f"%{_escape_like(wanted.search.lower())}%"
    category = None
    if wanted.category is not None:
        category = f'%"category":{_escape_like(msgspec.json.encode(wanted.category).decode())}%'
    parent = None
    if wanted.parent is not None:
        parent = f'%"parentSessionKey":{_escape_like(msgspec.json.encode(wanted.parent).decode())}%'
    return {
        "agent": wanted.agent_id,
        "wanted_label": wanted.label,
        "like": like,
        "after": wanted.updated_after,
        "wanted_category": category,
        "wanted_parent": parent,
    }


def _escape_like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


_SENTINELS = ("global", "unknown")


@lru_cache(maxsize=256)
def _counting(shape: Shape) -> Statement:
    # Counted with the sentinels, so that an index alone can answer; they are taken off afterwards.
    return statement(select(func.count().label("n")).select_from(sessions).where(*_where(shape)))


@lru_cache(maxsize=256)
def _counting_sentinels(shape: Shape) -> Statement:
    only = (among(c.key, _SENTINELS), *_where(shape))
    return statement(select(func.count().label("n")).select_from(sessions).where(*only))


@lru_cache(maxsize=256)
def _paging(shape: Shape, sort_by: SortBy) -> Statement:
    return statement(
        select(sessions)
        .where(*_where(shape), *_real(shape))
        .order_by(_SORT[sort_by].desc(), c.key)
        .limit(bindparam("count"))
        .offset(bindparam("skip"))
    )


def _where(shape: Shape) -> Sequence[ColumnElement[bool]]:
    return [_CONDITIONS[name](value) for name, value in shape if name in _CONDITIONS]


def _like(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    return column.like(bindparam(name), escape="\\")


_CONDITIONS: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    "archived": lambda value: c.archived == int(value),
    "agent_id": lambda _: c.agent_id == bindparam("agent"),
    "agents": lambda ids: among(c.agent_id, ids),
    "label": lambda _: c.label == bindparam("wanted_label"),
    "search": lambda _: or_(
        *(_like(func.lower(text), "like") for text in (c.key, c.label, c.display_name))
    ),
    "updated_after": lambda _: c.updated_at >= bindparam("after"),
    "pinned": lambda value: c.pinned == int(value),
    "running": lambda _: c.last_run_state == "running",
    "interacted": lambda _: c.last_interaction_at.is_not(None),
    "category": lambda _: _like(c.settings, "wanted_category"),
    "parent": lambda _: _like(c.settings, "wanted_parent"),
    "exclude_subagents": lambda _: c.key.not_like("agent:%:subagent:%"),
    "exclude_cron": lambda _: c.key.not_like("agent:%:cron:%"),
}


def _real(shape: Shape) -> Sequence[ColumnElement[bool]]:
    return () if dict(shape).get("include_sentinels") else [c.key != name for name in _SENTINELS]
