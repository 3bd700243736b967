from __future__ import annotations

import msgspec

from portico.chat.history import Cursor, fit
from portico.sessions.model import Entry
from portico.sessions.shapes import OMITTED


def entries(*texts: str) -> list[Entry]:
    return [
        Entry(
            entry_id=f"e{number}",
            session_id="s",
            seq=number,
            role="user",
            content=text,
            run_id=None,
            meta={},
            created_at=0,
        )
        for number, text in enumerate(texts, 1)
    ]


def seqs(messages: list[dict]) -> list[int]:
    return [message["__openclaw"]["seq"] for message in messages]


def test_a_cursor_reads_back_and_rubbish_does_not():
    cursor = Cursor("s", 1, 9)
    assert Cursor.decode(cursor.encode()) == cursor
    assert "=" not in cursor.encode()
    for rubbish in ("", "x", "€", "W10", Cursor("s", 1, 9).encode()[:-3]):
        assert Cursor.decode(rubbish) is None


def test_what_fits_is_the_newest():
    said = entries("a" * 300, "b" * 300, "c" * 300)
    assert seqs(fit(said, 1024, None)) == [2, 3]
    assert seqs(fit(said, 10_000, None)) == [1, 2, 3]
    assert fit([], 1024, None) == []


def test_one_that_never_fits_is_named():
    shown = fit(entries("small", "x" * 5000), 1024, None)
    assert seqs(shown) == [1, 2]
    assert shown[1]["content"][0]["text"] == OMITTED
    assert len(msgspec.json.encode(shown)) <= 1024


def test_the_newest_is_shown_even_when_nothing_fits():
    assert seqs(fit(entries("x" * 5000), 10, None)) == [1]
