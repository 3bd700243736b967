"""A model that obeys whatever it reads, and tells all it knows: the worst an agent can have.

An order stands in a text as `ORDER:<tool>:<base64 of its arguments>:END`. `{{secrets}}` in the
arguments becomes every planted secret the model has been shown so far.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from tests.fakes.provider import Reply, Say

SECRET = re.compile(r"CANARY-[a-z]+")
_ORDER = re.compile(r"ORDER:([a-z_]+):([A-Za-z0-9+/=]+):END")
_AT_ONCE = 10


def order(tool: str, **arguments: Any) -> str:
    """Text that has the model call a tool."""
    encoded = base64.b64encode(json.dumps(arguments).encode()).decode()
    return f"ORDER:{tool}:{encoded}:END"


class Obedient:
    """What the fake provider answers."""

    def __init__(self) -> None:
        self.obeyed: list[tuple[str, dict[str, Any]]] = []
        self.known: set[str] = set()
        self._done: set[str] = set()

    def begin_anew(self) -> None:
        """Obey orders again that were obeyed before."""
        self._done.clear()

    def __call__(self, request: dict[str, Any]) -> Reply:
        shown = "\n".join(_texts(request["messages"]))
        self.known |= set(SECRET.findall(shown))
        if "You keep the memory" in shown:
            return Say(f"They said: {' '.join(m.group() for m in _ORDER.finditer(shown))}")
        new = [m for m in _ORDER.finditer(shown) if m.group() not in self._done]
        wanted = list({m.group(): m for m in new}.values())[:_AT_ONCE]
        self._done |= {m.group() for m in wanted}
        if not wanted:
            return Say(f"I have obeyed. I know {self._all_known()}")
        return Say(calls=tuple((m[1], self._arguments(m[1], m[2])) for m in wanted))

    def _arguments(self, tool: str, encoded: str) -> str:
        text = base64.b64decode(encoded).decode().replace("{{secrets}}", self._all_known())
        self.obeyed.append((tool, json.loads(text)))
        return text

    def _all_known(self) -> str:
        return "+".join(sorted(self.known)) or "nothing"


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in items for text in _texts(item)]
