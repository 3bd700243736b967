"""Splitting: nothing is lost, nothing is too long, and it hurts where it hurts least."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.channels.text import split_markdown, to_plain, utf16_units

words = st.text(st.sampled_from("abc.,é😀"), min_size=1, max_size=12)
spaces = st.sampled_from([" ", "  ", "\n", "\n\n", "\t"])
prose = st.lists(st.tuples(words, spaces), max_size=60).map(
    lambda parts: "".join(word + space for word, space in parts)
)
lines = st.lists(st.text(st.sampled_from("ab (){}=\t"), max_size=30), max_size=12)


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@given(prose, st.integers(16, 80))
def test_pieces_are_the_text(text: str, limit: int) -> None:
    pieces = split_markdown(text, limit)
    assert all(0 < len(piece) <= limit and piece.strip() for piece in pieces)
    assert squeezed("".join(pieces)) == squeezed(text)


@given(prose, st.integers(16, 80))
def test_words_are_broken_only_when_they_are_too_long(text: str, limit: int) -> None:
    pieces = split_markdown(text, limit)
    assert " ".join(pieces).split() == text.split()


@given(st.text(), st.integers(16, 60))
def test_any_text_is_split_in_units_of_utf16(text: str, limit: int) -> None:
    pieces = split_markdown(text, limit, measure=utf16_units)
    assert all(0 < utf16_units(piece) <= limit for piece in pieces)
    for piece in pieces:
        piece.encode()  # no half of a pair


@given(lines, lines, st.integers(30, 80), st.sampled_from(["```", "~~~~", "```python"]))
def test_code_stays_code(before, code, limit: int, opening: str) -> None:
    marker = re.match(r"[`~]+", opening)[0]  # type: ignore[index]  # it matches
    text = "\n".join([*before, opening, *code, marker, "after all"])
    pieces = split_markdown(text, limit)
    for piece in pieces:
        assert len(piece) <= limit
        fences = [line for line in piece.split("\n") if line.strip().startswith(marker)]
        assert len(fences) % 2 == 0, pieces
    kept = [
        line.strip()
        for piece in pieces
        for line in piece.split("\n")
        if not line.strip().startswith(marker)
    ]
    wanted = [*before, *code, "after all"]
    assert squeezed("".join(kept)) == squeezed("".join(wanted))


def test_paragraphs_lines_sentences_words_in_this_order() -> None:
    assert split_markdown("One two.\n\nThree four. Five", 24) == ["One two.", "Three four. Five"]
    assert split_markdown("One two.\nThree four. Five", 20) == ["One two.", "Three four. Five"]
    assert split_markdown("One two. Three four five", 16) == ["One two.", "Three four five"]
    assert split_markdown("one two three four five", 16) == ["one two three", "four five"]


def test_a_block_of_code_is_closed_and_opened_again() -> None:
    text = "Look:\n```python\nfirst = 1\nsecond = 2\nthird = 3\n```\nDone."
    assert split_markdown(text, 40) == [
        "Look:\n```python\nfirst = 1\nsecond = 2\n```",
        "```python\nthird = 3\n```\nDone.",
    ]


def test_what_is_seen_as_one_character_stays_whole() -> None:
    family = "👩‍👩‍👧"
    pieces = split_markdown(family * 10, 16)
    assert "".join(pieces) == family * 10
    assert all(len(piece) % len(family) == 0 for piece in pieces)
    assert split_markdown("e\u0301" * 20, 17)[0].endswith("\u0301")


def test_short_and_empty_texts() -> None:
    assert split_markdown("short", 100) == ["short"]
    assert split_markdown(" \n ", 100) == []
    with pytest.raises(ValueError, match="at least"):
        split_markdown("x", 3)


def test_plain_text_of_markdown() -> None:
    markdown = """# Title

Some **bold** and `code`, a [link](https://a.example) and <https://b.example>.

- one
- two
  1. deep
  2. deeper

```py
x = 1
```

---
last\\
line"""
    assert to_plain(markdown) == (
        "Title\n\nSome bold and code, a link (https://a.example) and https://b.example.\n\n"
        "- one\n- two\n  1. deep\n  2. deeper\nx = 1\n---\nlast\nline"
    )


@given(st.text())
def test_any_text_can_be_made_plain(text: str) -> None:
    assert isinstance(to_plain(text), str)
