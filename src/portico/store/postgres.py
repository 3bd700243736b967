"""PostgreSQL through asyncpg: the same works and group commit, row locks instead of one writer.

One connection per process writes; works that wait together share a transaction. When one of them
raises, it alone fails: the group is rolled back and done again without it. After a lock conflict
with another replica its works are done again one by one. A connection lost while the commit was on
its way leaves the outcome uncertain: nothing is done again, whoever waits is told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import asyncpg
import structlog

from portico.observe.metrics import Metrics
from portico.store.migrate import upgrade_postgres
from portico.store.unusable import DatabaseAway, DatabaseUnusable, Unstorable
from portico.store.work import Work
from portico.tasks import Tasks

log = structlog.get_logger()

T = TypeVar("T")
P = ParamSpec("P")
Factory = Callable[[], Work[Any]]

MAX_GROUP = 128
MAX_READERS = 8
CONFLICT_RETRIES = 5
MAX_CULPRITS = 3
CONNECT_S = 15.0
# A server behind a cut cable says nothing; TCP alone would wait for a quarter of an hour.
SILENCE_S = 60.0
# A replica that is paused or cut off in the middle of a transaction would hold its row locks, and
# with them all other replicas, for as long as it is away. Well below a lease.
_SESSION = {"idle_in_transaction_session_timeout": "5000", "application_name": "portico"}
_CONFLICTS = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
)
_UNAVAILABLE = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)


class _Job:
    __slots__ = ("factory", "future")

    def __init__(self, factory: Factory, future: asyncio.Future[Any]) -> None:
        self.factory = factory
        self.future = future


class _WorkFailed(Exception):
    """One work raised; the others of its group did not."""

    def __init__(self, job: _Job, error: Exception) -> None:
        super().__init__(str(error))
        self.job = job
        self.error = error


class PostgresStore:
    """The store on a PostgreSQL database."""

    def __init__(self, url: str, metrics: Metrics | None = None) -> None:
        measured = metrics or Metrics()
        self._group_sizes = measured.store_group_size
        self._commit_seconds = measured.store_commit_seconds
        self._url = url.replace("postgres://", "postgresql://", 1)
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._jobs: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._tasks = Tasks(_writer_died)
        self._writer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bring the schema up to date and open the connections.

        Raises:
            DatabaseUnusable: it cannot be reached, lets us not in, or cannot be migrated.
        """
        try:
            await upgrade_postgres(self._url)
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=2,
                max_size=MAX_READERS + 1,
                server_settings=_SESSION,
                timeout=CONNECT_S,
                command_timeout=SILENCE_S,
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            reason = str(error) or type(error).__name__
            raise DatabaseUnusable(f"the database of store.url cannot be used: {reason}") from error
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
        self._jobs.put_nowait(_Job(lambda: work(*args, **kwargs), future))
        return await future

    async def read(self, work: Callable[P, Work[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a work that only reads, on one of the reading connections."""
        try:
            async with self._connections().acquire() as connection:
                with _given_up_when_silent(connection):
                    return await _drive(connection, work(*args, **kwargs))
        except Exception as error:
            told = _told(error)
            if told is error:
                raise
            raise told from error

    async def scan(self, work: Callable[P, Work[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a long read; the same as `read`, since nothing here blocks the loop."""
        return await self.read(work, *args, **kwargs)

    def _connections(self) -> asyncpg.Pool[asyncpg.Record]:
        if self._pool is None:
            raise RuntimeError("the store is not running")
        return self._pool

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
                began_s = asyncio.get_running_loop().time()
                self._group_sizes.observe(len(group))
                await self._commit(group)
                self._commit_seconds.observe(asyncio.get_running_loop().time() - began_s)

    async def _commit(self, group: list[_Job]) -> None:
        culprits = 0
        while group:
            try:
                results = await self._transact(group)
            except _WorkFailed as failed:
                culprits += 1
                _fail([failed.job], failed.error)
                group = [job for job in group if job is not failed.job]
                if culprits == MAX_CULPRITS:
                    await self._one_by_one(group)
                    return
            except _CONFLICTS as error:
                if len(group) > 1:
                    await self._one_by_one(group)
                else:
                    _fail(group, error)
                return
            except Exception as error:  # noqa: BLE001 - away, or the outcome uncertain: they are told
                _fail(group, error)
                return
            else:
                for job, result in zip(group, results, strict=True):
                    if not job.future.done():
                        job.future.set_result(result)
                return

    async def _one_by_one(self, group: list[_Job]) -> None:
        for job in group:
            await self._commit([job])

    async def _transact(self, group: list[_Job]) -> list[Any]:
        attempts = CONFLICT_RETRIES if len(group) == 1 else 1
        for attempt in range(attempts):
            try:
                async with self._connections().acquire() as connection:
                    with _given_up_when_silent(connection):
                        return await _do_all(connection, group)
            except _CONFLICTS:
                if attempt == attempts - 1:
                    raise
        raise AssertionError("unreachable")


@contextlib.contextmanager
def _given_up_when_silent(connection: Any) -> Iterator[None]:
    """End a connection whose server does not answer: nobody else is to wait for it."""
    try:
        yield
    except TimeoutError:
        connection.terminate()
        raise


async def _do_all(connection: Any, group: list[_Job]) -> list[Any]:
    transaction = connection.transaction()
    await transaction.start()
    results = []
    for job in group:
        try:
            results.append(await _drive(connection, job.factory()))
        except BaseException as error:
            if not isinstance(error, TimeoutError):
                with contextlib.suppress(Exception):  # a dead connection has rolled back already
                    await transaction.rollback()
            if isinstance(error, _UNAVAILABLE + _CONFLICTS) or not isinstance(error, Exception):
                raise
            raise _WorkFailed(job, error) from error
    await transaction.commit()
    return results


def _fail(group: list[_Job], error: Exception) -> None:
    for job in group:
        if not job.future.done():
            job.future.set_exception(_told(error))


def _told(error: Exception) -> Exception:
    """Return what a caller is told: in one word that the database is away, however that showed."""
    if isinstance(error, _UNAVAILABLE) or type(error) is asyncpg.InterfaceError:
        return DatabaseAway(str(error) or type(error).__name__)
    return error


def _writer_died(name: str, error: BaseException) -> None:
    log.critical("store.writer_died", task=name, exc_info=error)


async def _drive(connection: Any, work: Work[T]) -> T:
    try:
        query = next(work)
        while True:
            compiled = query.statement.compiled("postgresql")
            try:
                rows = await connection.fetch(compiled.sql, *compiled.arguments(query.params))
            except asyncpg.CharacterNotInRepertoireError as error:
                raise Unstorable(str(error)) from error
            query = work.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result
