"""Bring a database's schema up to date with Alembic, and cost nothing when it already is.

Alembic is imported only when the revision in the database differs from `HEAD`; a test keeps `HEAD`
equal to the newest revision in `migrations/versions`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD = "0014"
_MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaTooNew(Exception):
    """The database was made by a newer version of Portico."""


async def upgrade_sqlite(connection: sqlite3.Connection, path: Path) -> None:
    """Migrate a SQLite file.

    Raises:
        SchemaTooNew: its schema is from a later version.
    """
    revision = _sqlite_revision(connection)
    if revision == HEAD:
        return
    _refuse_newer(revision)
    await asyncio.to_thread(upgrade_sqlite_file, path)


def _sqlite_revision(connection: sqlite3.Connection) -> str | None:
    found = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
    ).fetchone()
    if found is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _refuse_newer(revision: str | None) -> None:
    if revision is not None and revision > HEAD:
        raise SchemaTooNew(
            f"the database has schema {revision}, this version knows {HEAD}: "
            "start the newer version, or restore a backup made by this one"
        )


def upgrade_sqlite_file(path: Path) -> None:
    """Migrate a SQLite file that nobody uses; all of it or nothing."""
    from sqlalchemy import create_engine, event

    engine = create_engine(f"sqlite:///{path}", connect_args={"isolation_level": None})

    # The driver would commit each DDL statement by itself; a crash must leave all of it or nothing.
    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with engine.begin() as connection:
            _upgrade(connection)
    finally:
        engine.dispose()


async def upgrade_postgres(url: str) -> None:
    """Migrate a PostgreSQL database; concurrent starts wait for each other.

    Raises:
        SchemaTooNew: its schema is from a later version.
    """
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        revision = await _postgres_revision(connection)
    finally:
        await connection.close()
    if revision == HEAD:
        return
    _refuse_newer(revision)
    await _upgrade_postgres_database(url)


async def _postgres_revision(connection: Any) -> str | None:
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return revision


async def _upgrade_postgres_database(url: str) -> None:
    import asyncpg
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    def connect() -> Any:  # asyncpg reads the URL itself: it knows all that libpq's URLs may say
        return asyncpg.connect(url)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(7268413)"))
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext

    _refuse_newer(MigrationContext.configure(connection).get_current_revision())
    settings = Config()
    settings.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    attributes: dict[str, Any] = settings.attributes
    attributes["connection"] = connection
    command.upgrade(settings, "head")
