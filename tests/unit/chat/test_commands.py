from __future__ import annotations

import pytest

from portico.chat.commands import is_stop, needs_admin, parse_fresh


@pytest.mark.parametrize("text", ["/new", " /Reset now", "/newspaper", "/new\nhello"])
def test_what_begins_like_a_reset_needs_admin(text: str):
    assert needs_admin(text)


@pytest.mark.parametrize("text", ["new", "say /new", "", "/stop"])
def test_other_texts_do_not(text: str):
    assert not needs_admin(text)


def test_a_reset_may_be_followed_by_a_message():
    assert parse_fresh("/new") == ("new", "")
    assert parse_fresh(" /RESET  hello\nyou ") == ("reset", "hello\nyou")
    assert parse_fresh("/newspaper") is None
    assert parse_fresh("x /new") is None


def test_stop_stands_alone():
    assert is_stop(" /STOP ")
    assert not is_stop("/stop it")
    assert not is_stop("stop")
