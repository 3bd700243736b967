"""Small JSON documents that belong to a part of the gateway: wake words, preferences, groups.

For what is few, small and read whole. What is queried, or grows, has a table of its own.

Guarantees: a write replaces a whole document; whoever reads in the same work sees it.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Column, Table, Text, bindparam, delete, func, select

from portico.store.schema import metadata, time_ms
from portico.store.work import Work, one, statement

documents = Table(
    "documents",
    metadata,
    Column("owner", Text, primary_key=True),  # the part, and whose it is: prefs/owner
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),  # JSON
    time_ms("updated_at", nullable=False),
)

d = documents.c

_PUT = statement(
    lambda insert: (
        insert(documents)
        .values(
            owner=bindparam("whose"),
            name=bindparam("called"),
            value=bindparam("content"),
            updated_at=bindparam("now"),
        )
        .on_conflict_do_update(
            index_elements=[documents.c.owner, documents.c.name],
            set_={"value": bindparam("content"), "updated_at": bindparam("now")},
        )
    )
)
_GET = statement(
    select(d.value).where(d.owner == bindparam("whose"), d.name == bindparam("called"))
)
_LIST = statement(
    select(d.name, d.value).where(d.owner == bindparam("whose")).order_by(d.updated_at, d.name)
)
_COUNT = statement(
    select(func.count().label("n")).select_from(documents).where(d.owner == bindparam("whose"))
)
_DELETE = statement(
    delete(documents)
    .where(d.owner == bindparam("whose"), d.name == bindparam("called"))
    .returning(d.name)
)


def put(owner: str, name: str, value: Any, *, now: int) -> Work[None]:
    """Write a document."""
    yield _PUT(whose=owner, called=name, content=msgspec.json.encode(value).decode(), now=now)


def find(owner: str, name: str) -> Work[Any]:
    """Return a document, or `None`."""
    row = one((yield _GET(whose=owner, called=name)))
    return None if row is None else msgspec.json.decode(row["value"])


def list_of(owner: str) -> Work[dict[str, Any]]:
    """Return every document of an owner by name, the oldest first."""
    rows = yield _LIST(whose=owner)
    return {row["name"]: msgspec.json.decode(row["value"]) for row in rows}


def count_of(owner: str) -> Work[int]:
    """Return how many documents an owner has."""
    count: int = (yield _COUNT(whose=owner))[0]["n"]
    return count


def remove(owner: str, name: str) -> Work[bool]:
    """Delete a document; return whether it was there."""
    return bool((yield _DELETE(whose=owner, called=name)))
