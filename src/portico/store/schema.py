"""The catalogue that rooms' `tables.py` add their tables to, and the column types they use.

Times are integer milliseconds UTC in both engines: what is on the wire is what is in the row.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, MetaData

metadata = MetaData()


def time_ms(name: str, *, nullable: bool = True) -> Column[int]:
    """A point in time: milliseconds since the epoch, UTC."""
    return Column(name, BigInteger, nullable=nullable)
