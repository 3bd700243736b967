"""Markdown to Slack's mrkdwn, and back to what agents read: never a forged mention or link."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.channels.slack.emoji import name_of
from portico.channels.slack.markup import escaped, to_mrkdwn, to_text
from tests.fakes.slack import visible


@pytest.mark.parametrize(
    ("markdown", "mrkdwn"),
    [
        ("**b** *i* ~~s~~ `c`", "*b* _i_ ~s~ `c`"),
        ("# A **bold** title\n\ntext", "*A bold title*\n\ntext"),
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("<b>raw</b>", "&lt;b&gt;raw&lt;/b&gt;"),
        ("1. one\n2. two", "1. one\n2. two"),
        ("- a\n  - b\n- c", "• a\n    • b\n• c"),
        ("> quoted\n> twice\n\nafter", "> quoted\n> twice\n\nafter"),
        ("[e](https://e.org/?a=1&b=2)", "<https://e.org/?a=1&amp;b=2|e>"),
        ("[e](https://e.org/a|b>c)", "<https://e.org/a%7Cb%3Ec|e>"),
        ("[x](javascript:alert)", "[x](javascript:alert)"),
        ("[<@U12345>](https://e.org)", "<https://e.org|&lt;@U12345&gt;>"),
        ("```py\nx < 1\n```", "```\nx &lt; 1\n```"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a | b\n1 | 2"),
        ("![a cat](https://e.org/c.png)", "a cat (https://e.org/c.png)"),
        ("foo**bar**baz", "foo\u200b*bar*\u200bbaz"),
        ("so`code`s", "so\u200b`code`\u200bs"),
        ("<!channel> <!here> <!subteam^S1>", "&lt;!channel&gt; &lt;!here&gt; &lt;!subteam^S1&gt;"),
        ("ask <@U12345> in <#C12345>", "ask <@U12345> in <#C12345>"),
        ("one\n\ntwo\nthree", "one\n\ntwo\nthree"),
        ("***", "———"),
        ("", ""),
    ],
)
def test_what_it_becomes(markdown: str, mrkdwn: str) -> None:
    assert to_mrkdwn(markdown) == mrkdwn


MARKS = ["**", "*", "_", "`", "```\n", "~~", "- ", "1. ", "> ", "# ", "|a|b|\n|-|-|\n"]
LINKS = [
    "[",
    "](http://e.org)",
    "](javascript:x)",
    "<b>",
    "&amp;",
    "<!here>",
    "<@U12345>",
    "|",
    ">",
]
TEXTS = ["\n", "\n\n", "word", "'", '"', "😀", "\x00", "  "]
PIECES = st.sampled_from([*MARKS, *LINKS, *TEXTS])


@given(st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=200))
def test_nobody_is_called_and_no_link_is_forged(markdown: str) -> None:
    shown = to_mrkdwn(markdown)
    for inner in re.findall(r"<([^<>]*)>", shown):
        assert re.fullmatch(r"@U12345|(https?|mailto|tel):[^|]*\|[^<>]*", inner), shown
    visible(shown)  # raises where something is not escaped


@given(st.text(max_size=200))
def test_what_was_escaped_is_read_as_it_was(text: str) -> None:
    assert to_text(escaped(text), own_id="U0", own_name="me") == text


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("<@U0> and <@U0|portico>", "@me and @me"),
        ("<https://e.org|e.org>", "https://e.org"),
        ("<!subteam^S1|@ops> <!date^1^{date}|today> <!everyone>", "@ops today @everyone"),
        ("<tel:+47|+47> <#C1>", "+47 <#C1>"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("", ""),
    ],
)
def test_what_agents_read(said: str, read: str) -> None:
    assert to_text(said, own_id="U0", own_name="me") == read


@pytest.mark.parametrize(
    ("emoji", "name"),
    [
        ("👍", "thumbsup"),
        ("❤️", "heart"),
        (":tada:", "tada"),
        ("+1", "+1"),
        ("thumbsup::skin-tone-3", "thumbsup::skin-tone-3"),
        ("🦖", None),
        ("a b", None),
        ("", None),
    ],
)
def test_names_of_emoji(emoji: str, name: str | None) -> None:
    assert name_of(emoji) == name
