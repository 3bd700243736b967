"""What every engine promises about works and commits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from portico.store import Statement, Store, Work, one, open_store, statement
from portico.store.unusable import DatabaseAway, Unstorable
from tests.support.waiting import PATIENCE_S, loop_turns

_MAKE = statement(sa.text("CREATE TABLE IF NOT EXISTS notes (id BIGINT PRIMARY KEY, note TEXT)"))
_ADD = statement(
    sa.insert(sa.table("notes", sa.column("id"), sa.column("note"))).values(
        id=sa.bindparam("id", type_=sa.BigInteger), note=sa.bindparam("note", type_=sa.Text)
    )
)
_ALL = statement(
    sa.select(sa.column("id", sa.BigInteger)).select_from(sa.table("notes")).order_by(sa.text("id"))
)


class Wrong(Exception):
    pass


def make() -> Work[None]:
    yield _MAKE()


def add(number: int, note: str = "") -> Work[int]:
    yield _ADD(id=number, note=note)
    return number


def add_and_fail(number: int) -> Work[None]:
    yield _ADD(id=number, note="never")
    raise Wrong(str(number))


def ids() -> Work[list[int]]:
    return [row["id"] for row in (yield _ALL())]


@pytest.fixture
async def notes(store: Store) -> Store:
    await store.write(make)
    return store


async def test_a_write_returns_what_its_work_returns(notes: Store) -> None:
    assert await notes.write(add, 7, note="x") == 7
    assert await notes.read(ids) == [7]
    assert await notes.scan(ids) == [7]


async def test_a_failing_work_leaves_nothing_and_hurts_nobody(notes: Store) -> None:
    works = [notes.write(add_and_fail if number % 3 == 1 else add, number) for number in range(30)]
    results = await asyncio.gather(*works, return_exceptions=True)
    for number, result in enumerate(results):
        if number % 3 == 1:
            assert isinstance(result, Wrong)
            assert str(result) == str(number)
        else:
            assert result == number
    assert await notes.read(ids) == [number for number in range(30) if number % 3 != 1]


async def test_a_work_the_database_refuses_hurts_nobody(notes: Store) -> None:
    await notes.write(add, 5)
    results = await asyncio.gather(
        *(notes.write(add, number) for number in (4, 5, 6)), return_exceptions=True
    )
    assert [isinstance(result, Exception) for result in results] == [False, True, False]
    assert await notes.read(ids) == [4, 5, 6]


async def test_a_waiter_that_gives_up_hurts_nobody(notes: Store) -> None:
    tasks = [asyncio.ensure_future(notes.write(add, number)) for number in range(10)]
    await loop_turns(2)
    tasks[3].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[3], asyncio.CancelledError)
    assert [r for r in results if isinstance(r, int)] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    kept = await notes.read(ids)
    assert set(kept) >= {0, 1, 2, 4, 5, 6, 7, 8, 9}


async def test_works_see_what_earlier_works_wrote(notes: Store) -> None:
    def next_number() -> Work[int]:
        last = (yield _ALL())[-1:]
        number = (last[0]["id"] if last else 0) + 1
        yield _ADD(id=number, note="")
        return number

    numbers = await asyncio.gather(*(notes.write(next_number) for _ in range(50)))
    assert sorted(numbers) == list(range(1, 51))


async def test_what_was_asked_for_is_committed_before_stop_returns(database_url: str) -> None:
    store = open_store(database_url)
    await store.start()
    await store.write(make)
    writes = [asyncio.ensure_future(store.write(add, number)) for number in range(600)]
    await loop_turns(1)
    await store.stop()
    assert await asyncio.gather(*writes) == list(range(600))
    await store.stop()
    again = open_store(database_url)
    await again.start()
    assert await again.read(ids) == list(range(600))
    await again.stop()


async def test_a_stopped_store_refuses(database_url: str) -> None:
    store = open_store(database_url)
    for call in (store.write, store.read, store.scan):
        with pytest.raises(RuntimeError, match="not running"):
            await call(make)
    await store.stop()


async def test_a_row_is_read_by_name_and_by_position(notes: Store) -> None:
    await notes.write(add, 3, note="x")
    query = statement(sa.text("SELECT id, note FROM notes").columns())

    def look() -> Work[tuple[Any, Any]]:
        row = one((yield query()))
        assert row is not None
        return row["id"], row[1]

    assert await notes.read(look) == (3, "x")


@pytest.mark.parametrize("url", ["mysql://x", "", "sqlite://relative"])
def test_an_unknown_engine_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"store\.url"):
        open_store(url)


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


def test_a_statement_is_compiled_once_per_engine() -> None:
    built = []

    def build(insert: Any) -> Any:
        built.append(insert)
        return insert(sa.table("notes", sa.column("id"))).values(id=sa.bindparam("id"))

    lazy = Statement(build)
    assert lazy.compiled("sqlite") is lazy.compiled("sqlite")
    assert lazy.compiled("postgresql").sql.endswith("VALUES ($1)")
    assert len(built) == 2


async def test_a_text_that_cannot_be_kept_hurts_nobody_else(
    notes: Store, database_url: str
) -> None:
    odd = asyncio.gather(
        notes.write(add, 1, note="a"),
        notes.write(add, 2, note="a\0b"),
        notes.write(add, 3, note="c"),
        return_exceptions=True,
    )
    first, second, third = await odd
    assert (first, third) == (1, 3)
    if database_url.startswith("sqlite"):
        assert second == 2
    else:
        assert isinstance(second, Unstorable)


async def test_a_database_that_went_away_is_called_that(notes: Store, database_url: str) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("it is a file")
    leave = statement(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))

    def work() -> Work[None]:
        yield leave()

    for do in (notes.write, notes.read):
        with pytest.raises(DatabaseAway):
            await do(work)
    assert await notes.write(add, 1) == 1


async def test_a_database_that_says_nothing_is_not_waited_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("it is a file")
    monkeypatch.setattr("portico.store.postgres.SILENCE_S", 2.0)
    silence = statement(sa.text("SELECT pg_sleep(600)"))

    def work() -> Work[None]:
        yield silence()

    store = open_store(database_url)
    await store.start()
    try:
        await store.write(make)
        async with asyncio.timeout(PATIENCE_S):
            for do in (store.write, store.read):
                with pytest.raises(DatabaseAway):
                    await do(work)
            assert await store.write(add, 1) == 1
    finally:
        await store.stop()
