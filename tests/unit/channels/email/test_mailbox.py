"""Where reading a mailbox is."""

from __future__ import annotations

import pytest

from portico.channels.email.imap import Selected
from portico.channels.email.mailbox import Position, begin

FOLDER = Selected(uid_validity=7, uid_next=11)


def test_at_first_what_is_there_is_passed_over() -> None:
    position, is_renumbered = begin(None, FOLDER, takes_unread=False, now_s=100)
    assert (position, is_renumbered) == (Position(7, 10, 0, 100), False)


def test_or_what_is_unread_is_taken_and_what_comes_later_anyway() -> None:
    position, _ = begin(None, FOLDER, takes_unread=True, now_s=100)
    assert position == Position(7, 0, 10, 0)
    assert position.past(4, 50) == Position(7, 4, 10, 0)
    assert position.past(12, 50).since_s == 50


def test_a_stored_place_is_gone_on_from() -> None:
    stored = Position(7, 9, 0, 100)
    assert begin(stored.cursor, FOLDER, takes_unread=True, now_s=200) == (stored, False)


def test_numbered_anew_only_what_is_newer_is_wanted() -> None:
    position, is_renumbered = begin("6:9:0:100", FOLDER, takes_unread=False, now_s=200)
    assert is_renumbered
    assert [position.wants(3, at) for at in (99, 100, 101, 0)] == [False, True, True, True]
    assert position.wants(11, 5)


@pytest.mark.parametrize("cursor", ["", "x", "1:2", "a:b:c:d", "1:2:3:4:5"])
def test_a_cursor_nobody_understands_is_none(cursor: str) -> None:
    position, _ = begin(cursor, FOLDER, takes_unread=False, now_s=1)
    assert position.uid == 10
