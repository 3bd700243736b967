"""Reading commands: pure."""

from __future__ import annotations

import pytest

from portico.chat.commands.reading import Spoken, needs_admin, read, unescaped


@pytest.mark.parametrize("text", ["/new", " /Reset now", "/newspaper", "/new\nhello"])
def test_what_begins_like_a_reset_needs_admin(text: str):
    assert needs_admin(text)


@pytest.mark.parametrize("text", ["new", "say /new", "", "/stop"])
def test_other_texts_do_not(text: str):
    assert not needs_admin(text)


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("/new", "new", ""),
        (" /RESET  hello\nyou ", "reset", "hello\nyou"),
        ("/think: high", "think", "high"),
        ("/think:high", "think", "high"),
        ("/newspaper", "newspaper", ""),
        ("/my-skill_2 x", "my-skill_2", "x"),
    ],
)
def test_a_slash_and_a_word_is_a_command_and_the_rest_its_arguments(
    text: str, name: str, arguments: str
):
    assert read(text) == Spoken(name, arguments)


@pytest.mark.parametrize(
    "text",
    ["x /new", "/", "/ new", "//status", "/etc/passwd", "/1", "/status@bot", "/naïve", "", "/a.b"],
)
def test_other_texts_are_no_commands(text: str):
    assert read(text) is None


@pytest.mark.parametrize(
    "text", ["<@U123> /status", "@portico_bot /status", "<@!42>: /status", "/status"]
)
def test_the_name_of_who_is_addressed_may_come_first(text: str):
    assert read(text, is_addressed=True) == Spoken("status", "")
    if not text.startswith("/"):
        assert read(text) is None


def test_two_slashes_leave_one():
    assert unescaped("//status") == "/status"
    assert unescaped(" //status x") == "/status x"
    assert unescaped("/status // x") == "/status // x"
