"""What a model may call: the shape of a tool, as the runtime runs it.

Not here: which tools there are, and who may use which.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portico.agents.runtime import Turn


@dataclass(frozen=True, slots=True)
class Tool:
    """Something a model can have done.

    Attributes:
        parameters: JSON Schema of the arguments.
        run: does it and returns a JSON value; what it raises is told to the model as an error.
        side_effects: it changes something outside; see `ToolStarted`.
    """

    name: str
    description: str
    run: Callable[[Mapping[str, Any]], Awaitable[Any]]
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    side_effects: bool = True


ToolsFor = Callable[[Turn], Sequence[Tool]]


def no_tools(_turn: Turn) -> Sequence[Tool]:
    """Offer nothing."""
    return ()
