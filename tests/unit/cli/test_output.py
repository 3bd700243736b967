"""What strangers chose to be called, on the terminal of who decides about them."""

from __future__ import annotations

import io

import pytest

from portico.cli.output import harmless, one_line, print_fields, print_table
from portico.cli.streaming import AnswerPrinter

EVIL = "\x1b]0;mine\x07\x1b[2Jann\r\nbob\tadmin\u202egnp\x9b31m"
SEEN = r"\u{1b}]0;mine\u{7}\u{1b}[2Jann\u{d}\u{a}bob\u{9}admin\u{202e}gnp\u{9b}31m"


def test_a_name_is_one_line_that_does_nothing() -> None:
    assert one_line(EVIL) == SEEN
    assert one_line("Zoë's 📱 👩‍🚀 日本") == "Zoë's 📱 👩‍🚀 日本"


def test_a_text_keeps_its_lines() -> None:
    assert harmless("one\r\ntwo\n\tthree\x1b[31m") == "one\ntwo\n\tthree\\u{1b}[31m"


def test_tables_and_fields_hold_names_of_strangers(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("Name", "From"), [(EVIL, None)])
    print_fields([("Name", "a\x1b[2J")])
    assert capsys.readouterr().out == f"Name\tFrom\n{SEEN}\t\nName  a\\u{{1b}}[2J\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("out", "seen"), [(Terminal(), "a\\u{1b}[2J\nb\n"), (io.StringIO(), "a\x1b[2J\nb\n")]
)
def test_an_answer_moves_no_cursor(out: io.StringIO, seen: str) -> None:
    AnswerPrinter(out).finish("a\x1b[2J\nb")
    assert out.getvalue() == seen
