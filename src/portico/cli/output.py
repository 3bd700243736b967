"""Printing: JSON for programs, tables and short sentences for people.

Guarantees: results go to stdout, everything else to stderr. With `--json` stdout holds JSON only.
Names and other text of strangers stand in tables as themselves: nothing in them moves the cursor,
begins a line or turns the direction of writing around.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from portico.cli.exit import Failure

_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400


# Controls, and what reorders the characters around it (Unicode Standard Annex 9).
_ACTS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_ACTS_IN_TEXT: Final = re.compile(_ACTS.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def one_line(text: str) -> str:
    """Return a text as one line, with what a terminal would act on spelled out."""
    return _ACTS.sub(_spelled, text)


def harmless(text: str) -> str:
    """Return a text of several lines, with what else a terminal would act on spelled out."""
    return _ACTS_IN_TEXT.sub(_spelled, text.replace("\r\n", "\n"))


def _spelled(found: re.Match[str]) -> str:
    return f"\\u{{{ord(found[0]):x}}}"


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON on stdout."""
    print(json.dumps(value, indent=indent, ensure_ascii=False), flush=True)


def note(text: str) -> None:
    """Say something about the work on stderr."""
    print(text, file=sys.stderr, flush=True)


def print_failure(failure: Failure, *, as_json: bool) -> None:
    """Print why a command failed and what to do next, on stderr."""
    if as_json:
        print(json.dumps(failure.to_json(), ensure_ascii=False), file=sys.stderr)
        return
    print(f"Error: {failure.message}", file=sys.stderr)
    if failure.next_step:
        print(f"Next:  {failure.next_step}", file=sys.stderr)


def print_fields(fields: Iterable[tuple[str, Any]]) -> None:
    """Print names and values in two columns; `None` values are left out."""
    rows = [(name, str(value)) for name, value in fields if value is not None]
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        print(f"{name:<{width}}  {harmless(value)}")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; in a pipe as tab separated lines, so that `cut` and `awk` work."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print("\t".join(map(_cell, row)))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(_cell(cell)) for cell in row))
    Console().print(table)


def _cell(value: Any) -> str:
    return "" if value is None else one_line(str(value))


def duration(seconds: float) -> str:
    """A length of time for people: `42 s`, `3 min`, `2 h 05 min`, `4 d 3 h`."""
    whole = int(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02d} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def ask(question: str) -> bool:
    """Ask yes or no on the terminal; no terminal is a no."""
    if not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
