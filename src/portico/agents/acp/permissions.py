"""A program's requests for permission, and the answers of people, in each other's words.

Guarantees: of several options of a kind the first is meant; a no is always an answer, also when the
program offers none; nothing but a person's yes is turned into a yes.

Source: Agent Client Protocol, "Requesting permission".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from portico.approvals.life import Decision

MAX_VALUE_CHARS = 2_000
ALLOWING: dict[str, Decision] = {"allow_once": "allow-once", "allow_always": "allow-always"}


@dataclass(frozen=True, slots=True)
class Option:
    """One of the answers a program offers."""

    option_id: str
    kind: str


def decisions(options: Sequence[Option]) -> tuple[Decision, ...]:
    """Return what a person may decide."""
    offered = {option.kind for option in options}
    return (*(one for kind, one in ALLOWING.items() if kind in offered), "deny")


def chosen(options: Sequence[Option], decision: Decision | None) -> Option | None:
    """Return the option that says what was decided; `None`: none does, so the request is over."""
    kinds = {
        "allow-once": ("allow_once",),
        "allow-always": ("allow_always",),
    }.get(decision or "", ("reject_once", "reject_always"))
    return next((one for kind in kinds for one in options if one.kind == kind), None)


def at_once(options: Sequence[Option], *, allow: bool) -> Option | None:
    """Return the option for who asks nobody: the narrowest yes, or a no."""
    if not allow:
        return chosen(options, None)
    return chosen(options, "allow-once") or chosen(options, "allow-always")


def command_text(title: str, kind: str | None, raw_input: Any) -> str:
    """Return what a person reads: the command itself where there is one, else what it is about.

    A command is never cut; of other long values the beginning is shown, and how much is left out.
    """
    command = _command(raw_input)
    if command is not None:
        return command
    about = title or kind or "use a tool"
    shown = _shown(raw_input)
    return f"{about}\n{shown}" if shown else about


def changes(content: Any) -> list[dict[str, Any]]:
    """Return what a call would change in files, as far as its content says so."""
    listed = content if isinstance(content, list) else []
    return [
        {"path": one.get("path"), "old": one.get("oldText"), "new": one.get("newText")}
        for one in listed
        if isinstance(one, dict) and one.get("type") == "diff"
    ]


def _command(raw_input: Any) -> str | None:
    if not isinstance(raw_input, dict):
        return None
    command = raw_input.get("command") or raw_input.get("cmd")
    if isinstance(command, str) and command.strip():
        return command
    if isinstance(command, list) and command and all(isinstance(one, str) for one in command):
        return msgspec.json.encode(command).decode()
    return None


def _shown(value: Any) -> str:
    if value in (None, {}, [], ""):
        return ""
    try:
        raw = msgspec.json.encode(_cut(value))
    except (TypeError, ValueError, RecursionError):
        return ""
    return msgspec.json.format(raw, indent=2).decode()


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_VALUE_CHARS:
        return f"{value[:MAX_VALUE_CHARS]}… ({len(value) - MAX_VALUE_CHARS} characters more)"
    if isinstance(value, dict):
        return {str(key): _cut(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_cut(inner) for inner in value]
    return value
