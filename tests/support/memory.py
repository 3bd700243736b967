"""A database in memory that several owners share, and whose owners can be killed at any commit."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

from portico.store import Work
from portico.store.sqlite import _drive


class Dead(Exception):
    """The owner was killed: nothing it still tries has an effect."""


@cache
def _template() -> bytes:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    from portico.store.upgrade import upgrade

    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        upgrade(connection)
        raw = connection.connection.dbapi_connection
        assert raw is not None
    content: bytes = raw.serialize()
    engine.dispose()
    return content


class Memory:
    """The database itself."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        self.connection.deserialize(_template())

    def close(self) -> None:
        self.connection.close()

    def select(self, sql: str, *parameters: Any) -> list[sqlite3.Row]:
        return self.connection.execute(sql, parameters).fetchall()

    def do(self, work: Work[Any]) -> Any:
        self.connection.execute("BEGIN")
        try:
            result = _drive(self.connection, work)
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        return result


class OwnedStore:
    """One owner's way to the database; it can be cut before or after a commit to come.

    Attributes:
        commits: how many commits the owner may still do; the next one cuts it off.
        cut: whether that one still happens, its answer lost.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.dead = False
        self.commits: int | None = None
        self.cut: Literal["before", "after"] = "before"

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        return

    def die_in(self, commits: int, cut: Literal["before", "after"]) -> None:
        self.commits, self.cut = commits, cut

    async def write(self, work: Callable[..., Work[Any]], /, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        self._live()
        last = self.commits == 0
        if last and self.cut == "before":
            self._die()
        result = self._memory.do(work(*args, **kwargs))
        if last:
            self._die()
        if self.commits is not None:
            self.commits -= 1
        await asyncio.sleep(0)
        self._live()
        return result

    async def read(self, work: Callable[..., Work[Any]], /, *args: Any, **kwargs: Any) -> Any:
        self._live()
        return _drive(self._memory.connection, work(*args, **kwargs))

    async def scan(self, work: Callable[..., Work[Any]], /, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        return await self.read(work, *args, **kwargs)

    def _die(self) -> None:
        self.dead = True
        raise Dead

    def _live(self) -> None:
        if self.dead:
            raise Dead
