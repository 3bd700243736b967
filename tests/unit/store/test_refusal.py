from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from portico.protocol.errors import InvalidRequest, Unavailable
from portico.store.refusal import refusal_of
from portico.store.unusable import DatabaseAway, Unstorable


def test_a_full_disk_is_no_fault_of_the_gateway(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "small.sqlite") as connection:
        connection.execute("CREATE TABLE notes (note TEXT)")
        connection.execute("PRAGMA max_page_count = 3")
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("INSERT INTO notes VALUES (?)", ("x" * 100_000,))
        refusal = refusal_of(caught.value)
        assert isinstance(refusal, Unavailable)
        assert refusal.retryable is True
        assert refusal.details == {"code": "DATABASE_UNAVAILABLE", "outcome": "uncertain"}
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("SELECT * FROM nothing")
        assert refusal_of(caught.value) is None


def test_what_else_goes_wrong() -> None:
    assert isinstance(refusal_of(DatabaseAway("gone")), Unavailable)
    assert isinstance(refusal_of(Unstorable("0x00")), InvalidRequest)
    assert refusal_of(OSError("a file of ours")) is None
    assert refusal_of(ValueError()) is None
