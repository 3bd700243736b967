"""Migrate a database with Alembic: the program that `store.migrate` starts.

It reads the database's URL from stdin, and says on stderr, in a line, what is in the way.

Guarantees: all of it or nothing, whenever it is killed; several at once wait for each other.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, event, text

from portico.store.migrate import TOO_NEW, refuse_newer
from portico.store.unusable import SchemaTooNew

if TYPE_CHECKING:
    from sqlalchemy import Connection

_MIGRATIONS = Path(__file__).parent / "migrations"
_SQLITE = "sqlite:///"


def upgrade_sqlite_file(path: Path) -> None:
    """Migrate a SQLite file that nobody uses.

    Raises:
        SchemaTooNew: its schema is from a later version.
    """
    engine = create_engine(f"{_SQLITE}{path}", connect_args={"isolation_level": None})

    # The driver would commit each DDL statement by itself; a crash must leave all of it or nothing.
    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with engine.begin() as connection:
            upgrade(connection)
    finally:
        engine.dispose()


async def upgrade_postgres_database(url: str) -> None:
    """Migrate a PostgreSQL database.

    Raises:
        SchemaTooNew: its schema is from a later version.
    """
    import asyncpg
    from sqlalchemy.ext.asyncio import create_async_engine

    def connect() -> Any:  # asyncpg reads the URL itself: it knows all that libpq's URLs may say
        return asyncpg.connect(url)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(7268413)"))
            await connection.run_sync(upgrade)
    finally:
        await engine.dispose()


def upgrade(connection: Connection) -> None:
    """Migrate within the transaction of a connection.

    Raises:
        SchemaTooNew: its schema is from a later version.
    """
    refuse_newer(MigrationContext.configure(connection).get_current_revision())
    settings = Config()
    settings.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    attributes: dict[str, Any] = settings.attributes
    attributes["connection"] = connection
    command.upgrade(settings, "head")


def main() -> int:
    """Migrate the database that stdin names; return the exit code."""
    url = sys.stdin.read().strip()
    try:
        if url.startswith(_SQLITE):
            upgrade_sqlite_file(Path(url.removeprefix(_SQLITE)))
        else:
            import asyncio

            asyncio.run(upgrade_postgres_database(url))
    except SchemaTooNew as error:
        sys.stderr.write(f"{error}\n")
        return TOO_NEW
    except Exception as error:  # noqa: BLE001  # whatever it is, the gateway says it
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
