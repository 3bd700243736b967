"""Migrate a database with Alembic: the program that `store.migrate` starts.

It reads the database's URL from stdin, and says on stderr, in a line, what is in the way.

Guarantees: all of it or nothing, whenever it is killed; several at once wait for each other.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, delete, event, insert, select, text

from portico.clock import SystemClock
from portico.store.documents import d, documents
from portico.store.migrate import FLOOR, HEAD, TOO_NEW, refuse_newer
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
    now = MigrationContext.configure(connection).get_current_revision()
    if now is not None and now > HEAD:  # somebody else was faster
        refuse_newer(now, lambda: _floor_in(connection))
        return
    settings = Config()
    settings.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    attributes: dict[str, Any] = settings.attributes
    attributes["connection"] = connection
    command.upgrade(settings, "head")
    _say_floor(connection, floor_of(ScriptDirectory.from_config(settings)))


def floor_of(scripts: ScriptDirectory) -> str:
    """Return the revision a version must know to work on the newest schema."""
    revisions = list(scripts.walk_revisions())  # the newest first
    contracts = [one.revision for one in revisions if "(contract)" in one.doc]
    return contracts[0] if contracts else revisions[-1].revision


def _floor_in(connection: Connection) -> str | None:
    found = connection.execute(select(d.value).where(d.owner == FLOOR[0], d.name == FLOOR[1]))
    value = found.scalar_one_or_none()
    return None if value is None else str(json.loads(value))


def _say_floor(connection: Connection, floor: str) -> None:
    owner, name = FLOOR
    connection.execute(delete(documents).where(d.owner == owner, d.name == name))
    now = SystemClock().now_ms()
    row = {"owner": owner, "name": name, "value": json.dumps(floor), "updated_at": now}
    connection.execute(insert(documents).values(**row))


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
