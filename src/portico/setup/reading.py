"""Reading what a person gave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portico.config.references import has_variable
from portico.setup.model import Option, Unacceptable

MAX_CHARS = 8_192


def text_of(value: Any) -> str:
    """Return a text without the white space around it.

    Raises:
        Unacceptable: it is none, or has characters no setting has.
    """
    if not isinstance(value, str):
        raise Unacceptable("Answer with a text.")
    text = value.strip()
    if len(text) > MAX_CHARS:
        raise Unacceptable(f"That is longer than {MAX_CHARS} characters.")
    if not text.isprintable():
        raise Unacceptable("That has characters that cannot be printed.")
    return text


def some_text_of(value: Any, *, what: str) -> str:
    """Return a text that is not empty.

    Raises:
        Unacceptable: it is none.
    """
    text = text_of(value)
    if not text:
        raise Unacceptable(f"{what} is needed.")
    return text


def plain_text_of(value: Any, *, what: str) -> str:
    """Return a text that is not empty and refers to no variable.

    Raises:
        Unacceptable: it is none.
    """
    text = some_text_of(value, what=what)
    if has_variable(text):
        raise Unacceptable("Write it out, without ${NAME}.")
    return text


def one_of(value: Any, options: Sequence[Option]) -> str:
    """Return the option that was chosen.

    Raises:
        Unacceptable: it is none of them.
    """
    for option in options:
        if value == option.value and isinstance(value, str):
            return option.value
    raise Unacceptable(f"Choose one of: {', '.join(option.value for option in options)}.")
