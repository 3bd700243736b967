"""PostgreSQL through asyncpg: the same works, the same group commit, row locks instead of one writer.

One connection per process writes; works that wait together share a transaction. When one of them
fails (its own error, a lock conflict with another replica) the group is rolled back and its works
are done again one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import asyncpg
import structlog

from portico.store.migrate import upgrade_postgres
from portico.store.work import Work
from portico.tasks import Tasks

log = structlog.get_logger()

T = TypeVar("T")
P = ParamSpec("P")
Factory = Callable[[], Work[Any]]

MAX_GROUP = 128
MAX_READERS = 8
CONFLICT_RETRIES = 5
_CONFLICTS = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
)


class PostgresStore:
    """The store on a PostgreSQL database."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("postgres://", "postgresql://", 1)
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._jobs: asyncio.Queue[tuple[Factory, asyncio.Future[Any]] | None] = asyncio.Queue()
        self._tasks = Tasks(_writer_died)
        self._writer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bring the schema up to date and open the connections."""
        await upgrade_postgres(self._url)
        self._pool = await asyncpg.create_pool(self._url, min_size=2, max_size=MAX_READERS + 1)
        self._writer = self._tasks.start(self._write_loop(), name="store-writer")

    async def stop(self) -> None:
        """Finish what was accepted and close."""
        writer, self._writer = self._writer, None
        if writer is None or self._pool is None:
            return
        await self._jobs.put(None)
        await writer
        await self._pool.close()

    async def write(self, work: Callable[P, Work[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a work in a transaction and return once it is committed."""
        if self._writer is None:
            raise RuntimeError("the store is not running")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait((lambda: work(*args, **kwargs), future))
        return await future

    async def read(self, work: Callable[P, Work[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a work that only reads, on one of the reading connections."""
        if self._pool is None:
            raise RuntimeError("the store is not running")
        async with self._pool.acquire() as connection:
            return await _drive(connection, work(*args, **kwargs))

    async def scan(self, work: Callable[P, Work[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a long read; the same as `read`, since nothing here blocks the loop."""
        return await self.read(work, *args, **kwargs)

    async def _write_loop(self) -> None:
        open_for_work = True
        while open_for_work:
            group = []
            job = await self._jobs.get()
            while job is not None:
                group.append(job)
                if len(group) == MAX_GROUP or self._jobs.empty():
                    break
                job = self._jobs.get_nowait()
            open_for_work = job is not None
            if group:
                await self._commit(group)

    async def _commit(self, group: list[tuple[Factory, asyncio.Future[Any]]]) -> None:
        try:
            results = await self._transact([factory for factory, _ in group])
        except Exception as error:  # handed to whoever waits for the work
            if len(group) > 1:
                for job in group:
                    await self._commit([job])
            elif not group[0][1].done():
                group[0][1].set_exception(error)
            return
        for (_, future), result in zip(group, results, strict=True):
            if not future.done():
                future.set_result(result)

    async def _transact(self, factories: list[Factory]) -> list[Any]:
        attempts = CONFLICT_RETRIES if len(factories) == 1 else 1
        for attempt in range(attempts):
            try:
                assert self._pool is not None
                async with self._pool.acquire() as connection, connection.transaction():
                    return [await _drive(connection, factory()) for factory in factories]
            except _CONFLICTS:
                if attempt == attempts - 1:
                    raise
        raise AssertionError("unreachable")


def _writer_died(name: str, error: BaseException) -> None:
    log.critical("store.writer_died", task=name, exc_info=error)


async def _drive(connection: Any, work: Work[T]) -> T:
    try:
        query = next(work)
        while True:
            compiled = query.statement.compiled("postgresql")
            rows = await connection.fetch(compiled.sql, *compiled.arguments(query.params))
            query = work.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result
