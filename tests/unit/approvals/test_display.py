"""Nothing hidden reaches a reviewer."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.approvals.display import visible

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ls -la ./Übung 日本 🎉", "ls -la ./Übung 日本 🎉"),
        ("a\tb\nc", "a\tb\nc"),
        ("a\rb", "a\\u{d}b"),
        ("\x1b[2Krm", "\\u{1b}[2Krm"),
        ("\u202etxt.exe", "\\u{202e}txt.exe"),
        ("a\u200bb\ufeff", "a\\u{200b}b\\u{feff}"),
        ("a\u00a0b\u3000c", "a\\u{a0}b\\u{3000}c"),
        ("x\ufe0f\u3164\u2800", "x\\u{fe0f}\\u{3164}\\u{2800}"),
        ("\U000e0061", "\\u{e0061}"),
        ("\ud800", "\\u{d800}"),
    ],
)
def test_deceiving_characters_are_spelled_out(text: str, shown: str):
    assert visible(text) == shown


@given(st.text())
def test_what_is_left_can_be_seen(text: str):
    shown = visible(text)
    assert all(one in "\n\t" or unicodedata.category(one) not in HIDDEN for one in shown)
    shown.encode()


@given(st.text(alphabet="ab\u202e\n", max_size=20))
def test_two_texts_never_look_the_same(text: str):
    assert visible(text).replace("\\u{202e}", "\u202e") == text


def test_a_long_text_says_that_it_was_cut():
    assert visible("abcdef", limit=4) == "abc…"
    assert visible("abcd", limit=4) == "abcd"
