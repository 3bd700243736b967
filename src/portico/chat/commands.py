"""The commands that are obeyed instead of being answered.

Source: OpenClaw gateway protocol, "chat.send" and "Dynamic scopes".
"""

from __future__ import annotations

import re
from typing import Any

STOP = "/stop"
_RESETS = re.compile(r"^\s*/(new|reset)", re.IGNORECASE)
_FRESH = re.compile(r"^\s*/(new|reset)(?:\s+(.*))?$", re.IGNORECASE | re.DOTALL)


def needs_admin(text: str) -> bool:
    """Whether a message begins like a command that resets the session."""
    return _RESETS.match(text) is not None


def is_stop(text: str) -> bool:
    """Whether a message is the command to stop what runs."""
    return text.strip().lower() == STOP


def parse_fresh(text: str) -> tuple[str, str] | None:
    """Return (`new` or `reset`, what is said after it) of a reset command."""
    found = _FRESH.match(text)
    return None if found is None else (found.group(1).lower(), (found.group(2) or "").strip())


def _command(name: str, description: str, *, accepts_args: bool) -> dict[str, Any]:
    return {
        "name": name,
        "nativeName": name,
        "textAliases": [f"/{name}"],
        "description": description,
        "category": "session",
        "source": "native",
        "scope": "both",
        "acceptsArgs": accepts_args,
    }


COMMANDS: tuple[dict[str, Any], ...] = (
    _command("stop", "Stop what runs and waits in this session.", accepts_args=False),
    _command("new", "Start a new session, optionally with a message.", accepts_args=True),
    _command("reset", "Reset the session, optionally with a message.", accepts_args=True),
)
