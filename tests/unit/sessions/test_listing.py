from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from portico.sessions import listing
from portico.sessions.listing import Filter
from portico.sessions.tables import sessions


def plan(sql: str) -> str:
    connection = sqlite3.connect(":memory:")
    connection.execute(str(CreateTable(sessions).compile(dialect=sqlite.dialect())))
    for index in sessions.indexes:
        connection.execute(str(CreateIndex(index).compile(dialect=sqlite.dialect())))
    rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * sql.count("?"))
    found = "; ".join(row[3] for row in rows)
    connection.close()
    return found


@pytest.mark.parametrize(
    ("wanted", "index"),
    [(Filter(), "sessions_recent"), (Filter(agent_id="main"), "sessions_by_agent")],
)
def test_plain_lists_read_and_count_along_an_index(wanted: Filter, index: str):
    shape = listing._shape(wanted)
    counting = listing._counting(shape).compiled("sqlite").sql
    assert f"USING COVERING INDEX {index}" in plan(counting)
    paging = plan(listing._paging(shape, "updatedAt").compiled("sqlite").sql)
    assert f"USING INDEX {index}" in paging
    assert "TEMP B-TREE FOR ORDER BY" not in paging


def test_filters_of_one_shape_share_a_statement():
    one, other = Filter(search="a"), Filter(search="b")
    assert listing._paging(listing._shape(one), "updatedAt") is listing._paging(
        listing._shape(other), "updatedAt"
    )
    assert listing._shape(one) != listing._shape(Filter())
