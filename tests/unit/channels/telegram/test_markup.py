"""Markdown to Telegram's HTML: always well-formed, whatever came in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.channels.telegram.markup import to_html
from tests.fakes.telegram import visible


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("**b** *i* ~~s~~ `c`", "<b>b</b> <i>i</i> <s>s</s> <code>c</code>"),
        ("# Title\n\ntext", "<b>Title</b>\n\ntext"),
        ("a < b & c", "a &lt; b &amp; c"),
        ("<b>raw</b>", "&lt;b&gt;raw&lt;/b&gt;"),
        ("1. one\n2. two", "1. one\n2. two"),
        ("- a\n  - b\n- c", "• a\n  • b\n• c"),
        ("> quoted\n> twice", "<blockquote>quoted\ntwice</blockquote>"),
        ("[e](https://e.org/?a=1&b=2)", '<a href="https://e.org/?a=1&amp;b=2">e</a>'),
        ("```py\nx < 1\n```", '<pre><code class="language-py">x &lt; 1</code></pre>'),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a | b\n1 | 2"),
        ("one\n\ntwo", "one\n\ntwo"),
        ("", ""),
    ],
)
def test_what_it_becomes(markdown: str, html: str) -> None:
    assert to_html(markdown) == html


MARKS = ["**", "*", "_", "`", "```\n", "~~", "- ", "1. ", "> ", "# ", "|a|b|\n|-|-|\n"]
LINKS = ["[", "](http://e.org)", "](javascript:x)", "<b>", "&amp;"]
TEXTS = ["\n", "\n\n", "word", "'", '"', "😀", "\x00", "  "]
PIECES = st.sampled_from([*MARKS, *LINKS, *TEXTS])


@given(st.lists(PIECES, max_size=30).map("".join))
def test_telegram_takes_it(markdown: str) -> None:
    visible(to_html(markdown))  # raises where the server would refuse


@given(st.text(max_size=200))
def test_any_text_is_taken(text: str) -> None:
    visible(to_html(text))
