"""Bring a database's schema up to date, and cost nothing when it already is.

When the revision in the database differs from `HEAD`, `store.upgrade` runs in a process of its own:
what migrating needs (Alembic, the synchronous half of SQLAlchemy) would else stay in the memory of
a gateway that runs for months. A test keeps `HEAD` equal to the newest revision in
`migrations/versions`.

Theory of operation: a revision marked *expand* only adds, in such a way that the version before it
works on; one marked *contract* takes away what that version needs. Whoever migrates writes into the
database which revision a version must know to work on it (the *floor*): the last one that
contracts. So an older version, to which an update is rolled back, knows whether it may.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path
from typing import Any

from portico.store.unusable import DatabaseUnusable, SchemaTooNew

HEAD = "0017"
TOO_NEW = 3
"""The exit code of `store.upgrade` when the schema is from a later version."""
FLOOR = ("store", "floor")
"""Owner and name of the document that holds the floor."""
_FIND_FLOOR = "SELECT value FROM documents WHERE owner = 'store' AND name = 'floor'"


async def upgrade_sqlite(connection: sqlite3.Connection, path: Path) -> None:
    """Migrate a SQLite file.

    Raises:
        SchemaTooNew: its schema is from a later version.
        DatabaseUnusable: it cannot be migrated.
    """
    revision = _sqlite_revision(connection)
    if revision is not None and revision >= HEAD:
        refuse_newer(revision, lambda: _sqlite_floor(connection))
        return
    await _upgrade_apart(f"sqlite:///{path}")


def _sqlite_floor(connection: sqlite3.Connection) -> str | None:
    row = connection.execute(_FIND_FLOOR).fetchone()
    return None if row is None else str(json.loads(row[0]))


def _sqlite_revision(connection: sqlite3.Connection) -> str | None:
    found = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
    ).fetchone()
    if found is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def refuse_newer(revision: str | None, floor: Callable[[], str | None]) -> None:
    """Let a schema pass that this version can bring up to date, or can work on as it is.

    Args:
        floor: looks up what a version must know to work on it; `None`: nobody has said.

    Raises:
        SchemaTooNew: it is from a later version, and has lost what this one needs.
    """
    if revision is None or revision <= HEAD:
        return
    needed = floor()
    if needed is None or needed > HEAD:
        raise SchemaTooNew(
            f"the database has schema {revision}, this version knows {HEAD}: "
            "start the newer version, or restore a backup made by this one"
        )


async def upgrade_postgres(url: str) -> None:
    """Migrate a PostgreSQL database; concurrent starts wait for each other.

    Raises:
        SchemaTooNew: its schema is from a later version.
        DatabaseUnusable: it cannot be migrated.
    """
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        revision = await _postgres_revision(connection)
        if revision is not None and revision >= HEAD:
            row = None if revision == HEAD else await connection.fetchval(_FIND_FLOOR)
            refuse_newer(revision, lambda: None if row is None else str(json.loads(row)))
            return
    finally:
        await connection.close()
    await _upgrade_apart(url)


async def _postgres_revision(connection: Any) -> str | None:
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return revision


async def _upgrade_apart(url: str) -> None:
    # Where we were not to look for modules, neither is our child; the URL, which may hold a
    # password, is not for the list of processes.
    safe = ("-P",) if sys.flags.safe_path else ()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, *safe, "-m", "portico.store.upgrade"), stdin=PIPE, stderr=PIPE
    )
    try:
        _, said = await child.communicate(url.encode())
    except asyncio.CancelledError:
        child.kill()
        await child.wait()
        raise
    text = said.decode(errors="replace").strip()
    if child.returncode == TOO_NEW:
        raise SchemaTooNew(text)
    if child.returncode != 0:
        raise DatabaseUnusable(f"the database could not be migrated to schema {HEAD}: {text}")
