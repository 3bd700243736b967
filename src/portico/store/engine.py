"""The port every room sees, and the choice of engine by URL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from portico.observe.metrics import Metrics
from portico.store.work import Work

T = TypeVar("T")
P = ParamSpec("P")


class Store(Protocol):
    """A database that does works."""

    async def start(self) -> None:
        """Open the database and bring its schema up to date."""
        ...

    async def stop(self) -> None:
        """Finish what was accepted and close. Safe to call twice."""
        ...

    async def write(self, work: Callable[P, Work[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a work in a transaction and return its result once the commit is durable.

        When the caller is cancelled while waiting, the work may still be committed.
        """
        ...

    async def read(self, work: Callable[P, Work[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a short work that only reads (an index lookup, a page)."""
        ...

    async def scan(self, work: Callable[P, Work[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a work that reads much; it never holds up the event loop."""
        ...


def open_store(url: str, metrics: Metrics | None = None) -> Store:
    """Return the store for a URL, not yet started.

    Args:
        url: `sqlite:///absolute/path.db` or `postgresql://user:password@host/name`.

    Raises:
        ValueError: the URL names neither engine.
    """
    if url.startswith("sqlite:///"):
        from portico.store.sqlite import SqliteStore

        return SqliteStore(Path(url.removeprefix("sqlite:///")), metrics)
    if url.startswith(("postgresql://", "postgres://")):
        from portico.store.postgres import PostgresStore

        return PostgresStore(url, metrics)
    raise ValueError(f"store.url must begin with sqlite:/// or postgresql://, not {url[:12]!r}")
