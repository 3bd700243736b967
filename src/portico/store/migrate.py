"""Bring a database's schema up to date, and cost nothing when it already is.

When the revision in the database differs from `HEAD`, `store.upgrade` runs in a process of its own:
what migrating needs (Alembic, the synchronous half of SQLAlchemy) would else stay in the memory of
a gateway that runs for months. A test keeps `HEAD` equal to the newest revision in
`migrations/versions`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

from portico.store.unusable import DatabaseUnusable, SchemaTooNew

HEAD = "0016"
TOO_NEW = 3
"""The exit code of `store.upgrade` when the schema is from a later version."""


async def upgrade_sqlite(connection: sqlite3.Connection, path: Path) -> None:
    """Migrate a SQLite file.

    Raises:
        SchemaTooNew: its schema is from a later version.
        DatabaseUnusable: it cannot be migrated.
    """
    revision = _sqlite_revision(connection)
    if revision == HEAD:
        return
    refuse_newer(revision)
    await _upgrade_apart(f"sqlite:///{path}")


def _sqlite_revision(connection: sqlite3.Connection) -> str | None:
    found = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
    ).fetchone()
    if found is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def refuse_newer(revision: str | None) -> None:
    """Let a schema pass that this version can bring up to date.

    Raises:
        SchemaTooNew: it is from a later version.
    """
    if revision is not None and revision > HEAD:
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
    finally:
        await connection.close()
    if revision == HEAD:
        return
    refuse_newer(revision)
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
