"""The catalogue that rooms' `tables.py` add their tables to, and the column types they use.

Times are integer milliseconds UTC in both engines: what is on the wire is what is in the row.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, MetaData, text

metadata = MetaData()


def time_ms(name: str, *, nullable: bool = True) -> Column[int]:
    """A point in time: milliseconds since the epoch, UTC."""
    return Column(name, BigInteger, nullable=nullable)


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index of those rows that meet a condition, in both engines.

    The condition is noted for SQLite only: an option for PostgreSQL would import its dialect into
    every gateway, which costs 30 ms and 3 MB. The migrations make the indexes.
    """
    return Index(name, *columns, unique=unique, sqlite_where=text(where))
