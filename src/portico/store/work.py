"""Statements, queries and works: the vocabulary between rooms and the database engines."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar, cast

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql import ColumnElement, Executable

T = TypeVar("T")
EngineName = Literal["sqlite", "postgresql"]


class Row(Protocol):
    """One row: values by column name or position."""

    def __getitem__(self, key: str | int, /) -> Any: ...


Rows: TypeAlias = Sequence[Row]
Build: TypeAlias = "Executable | Callable[[Any], Executable]"


@dataclass(frozen=True, slots=True)
class Query:
    """A statement with its parameters."""

    statement: Statement
    params: dict[str, Any]


Work: TypeAlias = Generator[Query, Rows, T]


class Compiled:
    """A statement in one engine's SQL, with the order in which it takes its parameters."""

    __slots__ = ("_defaults", "_pick", "returns_rows", "sql")

    def __init__(self, sql: str, slots: list[tuple[str, Any]], *, returns_rows: bool) -> None:
        self.sql = sql
        self.returns_rows = returns_rows
        self._defaults = dict(slots)
        names = [name for name, _ in slots]
        # With one name, itemgetter would return the value alone.
        self._pick = itemgetter(*names) if len(names) > 1 else None

    def arguments(self, params: dict[str, Any]) -> Sequence[Any]:
        """Return the parameters in the statement's order."""
        whole = {**self._defaults, **params}
        if self._pick is None:
            return [whole[name] for name in self._defaults]
        picked: tuple[Any, ...] = self._pick(whole)
        return picked


class Statement:
    """A SQLAlchemy Core statement, compiled once per engine, at first use."""

    __slots__ = ("_build", "_compiled")

    def __init__(self, build: Build) -> None:
        self._build = build
        self._compiled: dict[EngineName, Compiled] = {}

    def __call__(self, **params: Any) -> Query:
        """Return a query to yield from a work."""
        return Query(self, params)

    def compiled(self, engine: EngineName) -> Compiled:
        """Return the statement in the engine's SQL."""
        ready = self._compiled.get(engine)
        if ready is None:
            ready = self._compiled[engine] = self._compile(engine)
        return ready

    def _compile(self, engine: EngineName) -> Compiled:
        dialect, insert = _dialect(engine)
        clause: Any = self._build(insert) if callable(self._build) else self._build
        compiled = clause.compile(dialect=dialect)
        slots = [(name, compiled.params.get(name)) for name in compiled.positiontup or ()]
        returns_rows = clause.is_select or bool(getattr(clause, "_returning", ()))
        return Compiled(str(compiled), slots, returns_rows=returns_rows)


def statement(build: Build) -> Statement:
    """Describe a statement.

    Args:
        build: a Core statement; or, for `INSERT … ON CONFLICT`, a function that is handed the
            engine's own `insert` and returns the statement.
    """
    return Statement(build)


def among(column: ColumnElement[Any], values: Iterable[str]) -> ColumnElement[bool]:
    """Return a test for one of some fixed values, as plain comparisons.

    (`IN` lists are expanded at execution, after the point where statements are compiled here.)
    """
    from sqlalchemy import or_

    return or_(*(column == value for value in values))


def one(rows: Rows) -> Row | None:
    """Return the first row, or `None`."""
    return rows[0] if rows else None


@cache
def _dialect(engine: EngineName) -> tuple[Dialect, Any]:
    flavour: Any  # SQLAlchemy leaves its dialects untyped
    if engine == "sqlite":
        from sqlalchemy.dialects import sqlite as flavour

        dialect = flavour.dialect(paramstyle="qmark")
    else:
        from sqlalchemy.dialects import postgresql as flavour
        from sqlalchemy.dialects.postgresql import asyncpg

        dialect = cast("Any", asyncpg).dialect(paramstyle="numeric_dollar")
    dialect.statement_compiler = _with_constants(dialect.statement_compiler)
    return dialect, flavour.insert


def _with_constants(compiler: type[Any]) -> type[Any]:
    """Return a compiler that writes a statement's constants into its SQL, and binds the rest.

    A planner uses a partial index only when it knows the value. SQLite looks at what is bound, but
    then prepares the statement anew for each execution; PostgreSQL's generic plans do not look.
    """

    class Compiler(compiler):  # type: ignore[misc]  # the base is the dialect's own
        def visit_bindparam(self, bound: Any, literal_binds: bool = False, **how: Any) -> Any:  # noqa: FBT001, FBT002 - SQLAlchemy's
            constant = (
                bound.unique and type(bound.value) in {int, str} and "\\" not in str(bound.value)
            )
            return super().visit_bindparam(bound, literal_binds=literal_binds or constant, **how)

    return Compiler
