"""Asking the steps of a wizard on a terminal.

Guarantees: secrets are not echoed; an empty answer takes what stands; Ctrl-C and the end of the
input stop the command.
"""

from __future__ import annotations

import getpass
import sys
from typing import Any


def ask_step(step: dict[str, Any]) -> Any:
    """Show a step and return the answer."""
    _show(step)
    kind = step["type"]
    if kind == "note":
        return True
    if kind == "select":
        return _select(step["options"], step.get("initialValue"))
    if kind == "confirm":
        return _confirm(initial=bool(step.get("initialValue")))
    return _text(step)


def _show(step: dict[str, Any]) -> None:
    say = sys.stderr
    if step.get("title"):
        print(f"\n{step['title']}", file=say)
    if step.get("message"):
        print(step["message"], file=say)
    for place, option in enumerate(step.get("options") or (), start=1):
        hint = f" ({option['hint']})" if option.get("hint") else ""
        print(f"  {place}  {option['label']}{hint}", file=say)
    say.flush()


def _select(options: list[dict[str, Any]], initial: Any) -> Any:
    values = [one["value"] for one in options]
    stands = f" [{values.index(initial) + 1}]" if initial in values else ""
    typed = _line(f"Number{stands}: ")
    if not typed and initial in values:
        return initial
    if typed.isascii() and typed.isdigit() and 1 <= int(typed) <= len(values):
        return values[int(typed) - 1]
    return typed  # its name; the wizard says whether it is one


def _confirm(*, initial: bool) -> Any:
    typed = _line("[Y/n] " if initial else "[y/N] ").lower()
    known = {"": initial, "y": True, "yes": True, "n": False, "no": False}
    return known.get(typed, typed)


def _text(step: dict[str, Any]) -> str:
    if step.get("sensitive"):
        return getpass.getpass("> ", stream=sys.stderr)
    initial = step.get("initialValue")
    stands = f"[{initial}] " if initial else ""
    typed = _line(f"> {stands}")
    return typed or (initial if isinstance(initial, str) else "")


def _line(prompt: str) -> str:
    print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise KeyboardInterrupt
    return line.strip()
