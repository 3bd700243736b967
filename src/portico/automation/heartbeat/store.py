"""Works on events that wait for a heartbeat, and on facts.

Guarantees: an event that waits already is not kept twice; whoever takes events takes them once, in
the transaction in which they are told.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, func, select

from portico.automation.cron.asking import Event
from portico.automation.heartbeat.tables import events, facts
from portico.ids import new_id
from portico.store import Work, one, statement

MAX_WAITING = 100
"""Events that may wait per session; the oldest gives way."""

e = events.c

_KEEP = statement(
    lambda insert: insert(events).on_conflict_do_nothing().returning(events.c.event_id)
)
_COUNT = statement(
    select(func.count().label("n")).select_from(events).where(e.session_key == bindparam("k"))
)
_oldest = events.alias("oldest")
_DROP_OLDEST = statement(
    delete(events).where(
        e.event_id.in_(
            select(_oldest.c.event_id)
            .where(_oldest.c.session_key == bindparam("k"))
            .order_by(_oldest.c.created_at, _oldest.c.event_id)
            .limit(bindparam("count"))
        )
    )
)
_TAKE = statement(
    delete(events)
    .where(e.session_key == bindparam("k"))
    .returning(e.text, e.is_untrusted, e.created_at, e.event_id)
)
_SET = statement(
    lambda insert: (
        insert(facts)
        .values(name=bindparam("name"), value=bindparam("value"), updated_at=bindparam("now"))
        .on_conflict_do_update(
            index_elements=[facts.c.name],
            set_={"value": bindparam("value"), "updated_at": bindparam("now")},
        )
    )
)
_GET = statement(select(facts.c.value).where(facts.c.name == bindparam("wanted")))


def keep(session_key: str, event: Event, *, now: int) -> Work[bool]:
    """Let an event wait for the session's next heartbeat; `False`: the same waits already."""
    kept = yield _KEEP(
        event_id=new_id("evt"),
        session_key=session_key,
        fingerprint=hashlib.blake2b(event.text.encode(), digest_size=16).hexdigest(),
        text=event.text,
        is_untrusted=int(event.is_untrusted),
        created_at=now,
    )
    waiting = (yield _COUNT(k=session_key))[0]["n"]
    if waiting > MAX_WAITING:
        yield _DROP_OLDEST(k=session_key, count=waiting - MAX_WAITING)
    return bool(kept)


def take(session_key: str) -> Work[list[Event]]:
    """Return what waits for a session, the oldest first; it waits no more."""
    rows = yield _TAKE(k=session_key)
    in_order = sorted(rows, key=lambda row: (row["created_at"], row["event_id"]))
    return [Event(row["text"], bool(row["is_untrusted"])) for row in in_order]


def count_waiting(session_key: str) -> Work[int]:
    """Return how many events wait for a session."""
    count: int = (yield _COUNT(k=session_key))[0]["n"]
    return count


def set_fact(name: str, value: Any, *, now: int) -> Work[None]:
    """Remember a fact."""
    yield _SET(name=name, value=msgspec.json.encode(value).decode(), now=now)


def fact(name: str) -> Work[Any]:
    """Return a fact, or `None`."""
    row = one((yield _GET(wanted=name)))
    return None if row is None else msgspec.json.decode(row["value"])
