"""The database: one way to say what to do, two engines that do it.

A room describes its tables with SQLAlchemy Core (`tables.py`), its statements with `statement`, and
what it does with them as *work*: a generator that yields queries and is sent their rows. SQLite
drives the generators on a writer thread, PostgreSQL on the event loop; the work cannot tell.

Guarantees:
    - `write` returns after the commit is on disk. Works that wait together share one commit.
    - A work runs in a transaction; when it raises, nothing of it remains, and other works of the
      same commit are not hurt. It may be run more than once, so it has no effects but its queries.
    - Work is composed with `yield from`: rooms that must commit together do.
"""

from portico.store.engine import Store, open_store
from portico.store.work import Query, Row, Rows, Statement, Work, among, one, statement

__all__ = [
    "Query",
    "Row",
    "Rows",
    "Statement",
    "Store",
    "Work",
    "among",
    "one",
    "open_store",
    "statement",
]
