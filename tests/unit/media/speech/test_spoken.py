"""From Markdown to words."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.media.speech.spoken import spoken


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello.", "Hello."),
        ("# Title\n\nText", "Title.\n\nText"),
        ("**bold** and _it_ and `x = 1` and ~~gone~~", "bold and it and x = 1 and gone"),
        ("See [the page](https://example.org/a?b=c).", "See the page."),
        ("![a cat](data:image/png;base64,AAAA)", "a cat"),
        ("Look: https://example.org/very/long", "Look:"),
        ("- one\n- [x] two\n* three", "one\ntwo\nthree"),
        ("> quoted\n> more", "quoted\nmore"),
        ("Before\n\n```python\nimport os\n```\n\nafter", "Before\n\nafter"),
        ("```\nnever closed", ""),
        ("| a | b |\n| --- | --- |\n| 1 | 2 |", "a, b,\n\n, 1, 2"),
        ("5 * 3 * 2 and snake_case_name", "5 * 3 * 2 and snake_case_name"),
        ("a <b>bold</b> word", "a bold word"),
        ("<!-- hidden -->shown", "shown"),
        ("   \n\n ", ""),
        ("Ünïcode 🎩 stays", "Ünïcode 🎩 stays"),
    ],
)
def test_what_is_said(text: str, said: str) -> None:
    assert spoken(text) == said


@given(st.text(alphabet="*_~`[]()!#>-|<a \n\t:/.h", max_size=400))
def test_anything_can_be_said_twice_the_same(text: str) -> None:
    assert spoken(text) == spoken(text)


@pytest.mark.parametrize("piece", ["*a", "[", "](", "`", "_ ", "<a", "| ", "```\n", "- ", "<!--"])
def test_no_text_takes_long(piece: str) -> None:
    began = time.thread_time()  # of the processor: the machine may be busy with other things
    spoken(piece * (20_000 // len(piece)))
    assert time.thread_time() - began < 2
