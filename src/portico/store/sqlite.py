"""SQLite: one writer thread with group commit, point reads on the loop, scans on a reader thread.

One group is on its way at a time. What is asked for meanwhile, and in the loop turn in which the
last group's waiters go on, becomes the next: one transaction, one fsync (`synchronous=FULL`,
write-ahead log). Each work of a group has its own savepoint: one that raises is rolled back alone.
When the transaction itself fails (a full disk), its works are done again one by one.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from portico.observe.metrics import Metrics
from portico.store.migrate import upgrade_sqlite
from portico.store.unusable import DatabaseUnusable
from portico.store.work import Work

T = TypeVar("T")
P = ParamSpec("P")
Factory = Callable[[], Work[Any]]

MAX_GROUP = 256
BUSY_TIMEOUT_MS = 5_000
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA wal_autocheckpoint=1000",
)


class _Job:
    __slots__ = ("error", "factory", "future", "result")

    def __init__(self, factory: Factory, future: asyncio.Future[Any]) -> None:
        self.factory = factory
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


class SqliteStore:
    """The store on one SQLite file."""

    def __init__(self, path: Path, metrics: Metrics | None = None) -> None:
        measured = metrics or Metrics()
        self._group_sizes = measured.store_group_size
        self._commit_seconds = measured.store_commit_seconds
        self._group_sent_s = 0.0
        self._path = path
        self._waiting: list[_Job] = []
        self._flush_scheduled = False
        self._group_in_flight = False
        self._groups: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._reader: sqlite3.Connection | None = None
        self._scans: ThreadPoolExecutor | None = None
        self._scanner: sqlite3.Connection | None = None

    async def start(self) -> None:
        """Open the file (made with its folder if missing) and bring its schema up to date.

        Raises:
            DatabaseUnusable: it cannot be opened or migrated.
        """
        try:
            connection = await self._open()
        except (OSError, sqlite3.Error) as error:
            raise DatabaseUnusable(f"the database {self._path} cannot be used: {error}") from error
        self._writer = threading.Thread(
            target=self._write_loop,
            args=(connection, asyncio.get_running_loop()),
            name="store-writer",
            daemon=True,
        )
        self._writer.start()
        self._reader = self._connect()
        self._scans = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-scan")

    async def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = self._connect()
        try:
            self._path.chmod(0o600)
            await upgrade_sqlite(connection, self._path)
        except BaseException:
            connection.close()
            raise
        return connection

    async def stop(self) -> None:
        """Finish what was accepted and close."""
        writer = self._writer
        if writer is None:
            return
        while self._waiting or self._group_in_flight:
            with contextlib.suppress(sqlite3.Error):  # whoever waits for the work is told
                await self.write(_nothing)  # what was asked for before is committed with it
        self._writer = None
        self._groups.put(None)
        await asyncio.to_thread(writer.join)
        if self._scans is not None:
            self._scans.shutdown(wait=True)
        for connection in (self._reader, self._scanner):
            if connection is not None:
                connection.close()

    async def write(self, work: Callable[P, Work[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a work in a transaction and return once its commit is on disk."""
        if self._writer is None:
            raise RuntimeError("the store is not running")
        loop = asyncio.get_running_loop()
        job = _Job(lambda: work(*args, **kwargs), loop.create_future())
        self._waiting.append(job)
        if not (self._flush_scheduled or self._group_in_flight):
            self._flush_scheduled = True
            loop.call_soon(self._flush)
        result: T = await job.future
        return result

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._waiting and not self._group_in_flight:
            group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
            self._group_in_flight = True
            self._group_sent_s = asyncio.get_running_loop().time()
            self._group_sizes.observe(len(group))
            self._groups.put(group)

    def _settle(self, group: list[_Job]) -> None:
        loop = asyncio.get_running_loop()
        self._commit_seconds.observe(loop.time() - self._group_sent_s)
        self._group_in_flight = False
        _answer(group)
        self._flush_scheduled = True
        # After the callbacks of the futures just answered, so that what they write joins the group.
        loop.call_soon(self._flush)

    async def read(self, work: Callable[P, Work[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a short read right here: a point read costs less than handing it to a thread."""
        if self._reader is None:
            raise RuntimeError("the store is not running")
        return _drive(self._reader, work(*args, **kwargs))

    async def scan(self, work: Callable[P, Work[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a long read on the reader thread."""
        if self._scans is None:
            raise RuntimeError("the store is not running")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._scans, self._scan, lambda: work(*args, **kwargs))

    def _scan(self, factory: Callable[[], Work[T]]) -> T:
        if self._scanner is None:
            self._scanner = self._connect()
        return _drive(self._scanner, factory())

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _write_loop(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        while (group := self._groups.get()) is not None:
            _commit(connection, group)
            loop.call_soon_threadsafe(self._settle, group)
        connection.close()


def _nothing() -> Work[None]:
    return
    yield


def _commit(connection: sqlite3.Connection, group: list[_Job]) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in group:
            _do(connection, job)
        connection.execute("COMMIT")
    except BaseException as error:  # noqa: BLE001 - a full disk, a locked file: the waiters are told
        _roll_back(connection)
        if len(group) == 1:
            group[0].error = error
            return
        for job in group:
            job.result = job.error = None
            _commit(connection, [job])


def _do(connection: sqlite3.Connection, job: _Job) -> None:
    connection.execute("SAVEPOINT work")
    try:
        job.result = _drive(connection, job.factory())
    except BaseException as error:
        if not connection.in_transaction:  # SQLite gave the whole transaction up
            raise
        connection.execute("ROLLBACK TO work")
        job.error = error
    connection.execute("RELEASE work")


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):  # the next BEGIN says what is wrong
            connection.execute("ROLLBACK")


def _answer(group: list[_Job]) -> None:
    for job in group:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)


def _drive(connection: sqlite3.Connection, work: Work[T]) -> T:
    try:
        query = next(work)
        while True:
            compiled = query.statement.compiled("sqlite")
            cursor = connection.execute(compiled.sql, compiled.arguments(query.params))
            query = work.send(cursor.fetchall() if compiled.returns_rows else ())
    except StopIteration as end:
        result: T = end.value
        return result
