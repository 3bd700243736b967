"""The schema: what migrations make is what the tables say, and every statement fits it."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import sqlite3
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import portico
from portico.store import Statement, documents, open_store
from portico.store.migrate import FLOOR, HEAD
from portico.store.schema import metadata
from portico.store.unusable import DatabaseUnusable, SchemaTooNew
from portico.store.upgrade import upgrade_sqlite_file
from tests.support.databases import PostgresServer

SKIPPED = {"portico.__main__", "portico.store.migrations"}


def modules() -> Iterator[Any]:
    for info in pkgutil.walk_packages(portico.__path__, "portico."):
        if not any(info.name.startswith(name) for name in SKIPPED):
            yield importlib.import_module(info.name)


def statements() -> dict[str, Statement]:
    return {
        f"{module.__name__}.{name}": value
        for module in modules()
        for name, value in vars(module).items()
        if isinstance(value, Statement)
    }


def script() -> Any:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    settings = Config()
    folder = Path(portico.__file__).parent / "store" / "migrations"
    settings.set_main_option("script_location", str(folder))
    return ScriptDirectory.from_config(settings)


def test_head_is_the_newest_revision() -> None:
    assert script().get_heads() == [HEAD]


def differences(connection: sa.Connection) -> list[Any]:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    list(modules())
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return compare_metadata(context, metadata)


async def test_migrated_sqlite_equals_the_tables(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/portico.sqlite")
    await store.start()
    await store.stop()
    engine = sa.create_engine(f"sqlite:///{tmp_path}/portico.sqlite")
    with engine.connect() as connection:
        assert differences(connection) == []
        indexes = sa.inspect(connection).get_indexes("turns")
    engine.dispose()
    unique = [index["name"] for index in indexes if index["unique"]]
    assert unique == ["turns_one_running"]


@pytest.mark.postgres
async def test_migrated_postgresql_equals_the_tables(postgres_server: PostgresServer) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    url = await postgres_server.new_database()
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1))
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()
    await postgres_server.drop(url)


async def test_a_second_start_migrates_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_store(database_url)
    await first.start()
    await first.stop()

    def refuse(*_: object) -> None:
        raise AssertionError("alembic was asked again")

    monkeypatch.setattr("portico.store.migrate._upgrade_apart", refuse)
    second = open_store(database_url)
    await second.start()
    await second.stop()


@pytest.mark.parametrize("floor", [None, "9998"])
async def test_a_newer_schema_that_has_lost_something_is_refused(
    database_url: str, floor: str | None
) -> None:
    await made_by_a_later_version(database_url, floor)
    late = open_store(database_url)
    with pytest.raises(SchemaTooNew, match="9999"):
        await late.start()


async def test_a_newer_schema_that_only_adds_is_worked_on(database_url: str) -> None:
    await made_by_a_later_version(database_url, HEAD)
    older = open_store(database_url)
    await older.start()
    await older.write(documents.put, "somebody", "note", 1, now=1)
    assert await older.read(documents.find, "somebody", "note") == 1
    assert await older.read(documents.find, *FLOOR) == HEAD
    await older.stop()


async def made_by_a_later_version(url: str, floor: str | None) -> None:
    store = open_store(url)
    await store.start()
    assert await store.read(documents.find, *FLOOR) == "0001", "nothing was ever taken away"

    def age() -> Any:
        yield Statement(sa.text("UPDATE alembic_version SET version_num = '9999'"))()
        if floor is None:
            yield from documents.remove(*FLOOR)
        else:
            yield from documents.put(*FLOOR, floor, now=0)

    await store.write(age)
    await store.stop()


def test_every_revision_says_what_it_does_to_the_version_before() -> None:
    folder = Path(portico.__path__[0]) / "store" / "migrations" / "versions"
    for file in folder.glob("r*.py"):
        first = file.read_text().partition("\n")[0]
        assert first.endswith(('(expand)."""', '(contract)."""')), file.name


async def test_a_database_that_cannot_be_migrated_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "portico.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE turns (somebody_elses TEXT)")
    connection.close()
    with pytest.raises(DatabaseUnusable, match="table turns already exists"):
        await open_store(f"sqlite:///{path}").start()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("turns",)]
    connection.close()


async def test_migrating_leaves_its_libraries_elsewhere(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from portico.store import open_store; "
        f"asyncio.run(open_store('sqlite:///{tmp_path}/portico.sqlite').start()); "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE)
    said, _ = await child.communicate()
    assert {"alembic", "mako"} & set(said.decode().split()) == set()
    assert "sqlite3" in said.decode().split()


def test_a_migration_that_dies_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic.operations import Operations

    path = tmp_path / "portico.sqlite"
    create_index = Operations.create_index
    monkeypatch.setattr(Operations, "create_index", _power_cut)
    with pytest.raises(KeyboardInterrupt):
        upgrade_sqlite_file(path)
    monkeypatch.setattr(Operations, "create_index", create_index)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()
    upgrade_sqlite_file(path)


def _power_cut(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_there_are_statements_to_check() -> None:
    assert len(statements()) > 40


async def test_every_statement_is_understood_by_its_engine(database_url: str) -> None:
    engine: Any = "sqlite" if database_url.startswith("sqlite") else "postgresql"
    store = open_store(database_url)
    await store.start()
    await store.stop()
    if engine == "sqlite":
        connection = sqlite3.connect(database_url.removeprefix("sqlite:///"))
        for name, statement in statements().items():
            compiled = statement.compiled(engine)
            nothing = compiled.arguments({})
            try:
                connection.execute(f"EXPLAIN {compiled.sql}", nothing)
            except sqlite3.Error as error:
                raise AssertionError(f"{name}: {error}\n{compiled.sql}") from error
        connection.close()
        return
    import asyncpg

    server = await asyncpg.connect(database_url)
    for name, statement in statements().items():
        sql = statement.compiled(engine).sql
        try:
            await server.prepare(sql)
        except asyncpg.PostgresError as error:
            raise AssertionError(f"{name}: {error}\n{sql}") from error
    await server.close()


def test_every_parameter_is_compiled_in_order() -> None:
    for name, statement in statements().items():
        for engine in ("sqlite", "postgresql"):
            compiled = statement.compiled(engine)
            marks = compiled.sql.count("?") if engine == "sqlite" else None
            if marks is not None and "'?" not in compiled.sql:
                assert marks == len(compiled.arguments({})), name
