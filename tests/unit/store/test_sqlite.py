"""SQLite in particular: durability settings, full disks, locked files."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from portico.store import Work, sqlite, statement
from portico.store.sqlite import SqliteStore

_MAKE = statement(sa.text("CREATE TABLE notes (id INTEGER PRIMARY KEY, note TEXT)"))
_ADD = statement(sa.text("INSERT INTO notes (note) VALUES (:note)"))
_COUNT = statement(sa.text("SELECT count(*) AS n FROM notes").columns())


def make() -> Work[None]:
    yield _MAKE()


def add(note: str) -> Work[None]:
    yield _ADD(note=note)


def count() -> Work[int]:
    return int((yield _COUNT())[0]["n"])


@pytest.fixture
async def notes(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "deep" / "portico.sqlite")
    await store.start()
    await store.write(make)
    yield store
    await store.stop()


async def test_commits_are_durable_and_private(notes: SqliteStore, tmp_path: Path) -> None:
    connection = notes._connect()
    with contextlib.closing(connection):
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    path = tmp_path / "deep" / "portico.sqlite"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_works_that_wait_together_share_one_commit(
    notes: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    commit = sqlite._commit

    def counted(connection: sqlite3.Connection, group: list[sqlite._Job]) -> None:
        sizes.append(len(group))
        commit(connection, group)

    monkeypatch.setattr(sqlite, "_commit", counted)
    await asyncio.gather(*(notes.write(add, "x") for _ in range(100)))
    assert sizes == [100]
    assert await notes.read(count) == 100


async def test_a_full_disk_fails_the_work_and_the_store_recovers(notes: SqliteStore) -> None:
    def limit(pages: str) -> Work[None]:
        yield statement(sa.text(f"PRAGMA max_page_count={pages}"))()

    pages = (await notes.read(_page_count)) + 2
    await notes.write(limit, str(pages))
    big = "x" * 200_000
    results = await asyncio.gather(
        notes.write(add, "small"),
        notes.write(add, big),
        notes.write(add, "small"),
        return_exceptions=True,
    )
    assert isinstance(results[1], sqlite3.OperationalError)
    assert results[0] is None
    assert results[2] is None
    await notes.write(limit, "1073741823")
    await notes.write(add, big)
    assert await notes.read(count) == 3


_PAGES = statement(sa.text("PRAGMA page_count").columns())


def _page_count() -> Work[int]:
    return int((yield _PAGES())[0][0])


async def test_a_locked_file_fails_the_works_and_the_store_recovers(
    notes: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hurry() -> Work[None]:
        yield statement(sa.text("SELECT 1").columns())()

    await notes.write(hurry)
    other = sqlite3.connect(tmp_path / "deep" / "portico.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.gather(*(notes.write(add, "x") for _ in range(2)), return_exceptions=True)
    # Reading goes on while the writer waits for the lock.
    assert await notes.read(count) == 0
    other.execute("ROLLBACK")
    other.close()
    assert await writing == [None, None]
    assert await notes.read(count) == 2


async def test_a_dead_connection_does_not_kill_the_writer(notes: SqliteStore) -> None:
    def broken() -> Work[None]:
        raise MemoryError
        yield

    with pytest.raises(MemoryError):
        await notes.write(broken)
    await notes.write(add, "after")
    assert await notes.read(count) == 1


async def test_stop_finishes_what_callbacks_ask_for(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "portico.sqlite")
    await store.start()
    await store.write(make)

    async def chain() -> None:
        for _ in range(5):
            await store.write(add, "x")

    chains = [asyncio.ensure_future(chain()) for _ in range(10)]
    await asyncio.sleep(0)
    await store.stop()
    done, pending = await asyncio.wait(chains, timeout=10)
    assert not pending, "no write may hang after stop"
    for task in done:
        with contextlib.suppress(RuntimeError):
            task.result()
