"""What a message says, as a command: pure.

Source: OpenClaw, slash commands ("Argument notes"); gateway protocol, "chat.send" and "Dynamic
scopes".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ESCAPE = "//"
_COMMAND = re.compile(r"(?is)\s*/([a-z][a-z0-9_-]{0,63})(?:\s*:\s*|\s+|\Z)(.*)")
_ADDRESS = re.compile(r"\s*(?:<@[!&]?\w+>|@\w+)[:,]?\s+(?=/)")
_RESETS = re.compile(r"^\s*/(new|reset)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word after a slash, in lower case, and what follows it."""

    name: str
    arguments: str


def read(text: str, *, is_addressed: bool = False) -> Spoken | None:
    """Return what a message says, when it begins like a command.

    Args:
        is_addressed: it begins with the assistant's name, perhaps, as messages in groups do.
    """
    if is_addressed:
        text = _ADDRESS.sub("", text, count=1)
    found = _COMMAND.fullmatch(text)
    return None if found is None else Spoken(found[1].lower(), found[2].strip())


def unescaped(text: str) -> str:
    """Return a text without the slash that says that it is none of our commands."""
    return text.lstrip()[1:] if text.lstrip().startswith(ESCAPE) else text


def needs_admin(text: str) -> bool:
    """Whether a message begins like a command that resets the session."""
    return _RESETS.match(text) is not None
