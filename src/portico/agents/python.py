"""The `python` runtime: an agent is any async callable or async generator, named by import path.

    async def answer(turn: Turn) -> str: ...
    async def answer(turn: Turn) -> AsyncIterator[str | AgentEvent]: ...

A callable returns the whole answer; a generator yields pieces of it (strings) or runtime events.
An agent object of pydantic-ai and a compiled graph of LangGraph will do as well.

Guarantees: the module is imported when the agent first answers, off the event loop; a missing
module or a name that is not callable is a clear failure of the turn, not of the gateway.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, get_args

import structlog

from portico.agents.borrowed import borrowed
from portico.agents.importing import import_one
from portico.agents.runtime import (
    Abilities,
    AgentEvent,
    Failed,
    Final,
    TextDelta,
    Turn,
)

log = structlog.get_logger()

_EVENT_TYPES = get_args(AgentEvent)


class PythonRuntime:
    """Runs `module:attribute`."""

    name = "python"

    def __init__(self, import_path: str, *, resumable: bool = False) -> None:
        self._import_path = import_path
        self.abilities = Abilities(resumable=resumable)
        self._target: Callable[[Turn], Any] | None = None

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        """Answer with what the callable returns or the generator yields."""
        try:
            target = await self._load()
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            log.error("agent.import_failed", path=self._import_path, exc_info=error)
            yield Failed("The agent could not be loaded. The operator can find out why in the log.")
            return
        answer = target(turn)
        if not isinstance(answer, AsyncGenerator):
            yield _final(await answer)
            return
        async for piece in answer:
            event = _event(piece)
            yield event
            if isinstance(event, Final | Failed):
                return
        yield Final()

    async def _load(self) -> Callable[[Turn], Any]:
        if self._target is None:
            self._target = await asyncio.to_thread(load_callable, self._import_path)
        return self._target


def load_callable(import_path: str) -> Callable[[Turn], Any]:
    """Import `module:attribute` (the attribute may be dotted).

    Raises:
        ImportError, AttributeError: it is not there.
        ValueError: the path has no colon.
        TypeError: it is not an async callable, an async generator function or an agent object.
    """
    module_name, separator, attribute = import_path.partition(":")
    if not separator:
        raise ValueError(f'"{import_path}" must have the form "package.module:callable"')
    target: Any = import_one(module_name)
    for name in attribute.split("."):
        target = getattr(target, name)
    foreign = borrowed(target)
    if foreign is not None:
        return foreign
    function = target if inspect.isroutine(target) else getattr(target, "__call__", None)  # noqa: B004
    if not (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)):
        raise TypeError(f"{import_path} must be an async function or async generator function")
    found: Callable[[Turn], Any] = target
    return found


def _final(answer: object) -> AgentEvent:
    if isinstance(answer, Final | Failed):
        return answer
    if answer is None or isinstance(answer, str):
        return Final(answer or "")
    raise TypeError(f"the agent returned {type(answer).__name__}, expected str")


def _event(piece: object) -> AgentEvent:
    if isinstance(piece, str):
        return TextDelta(piece)
    if isinstance(piece, _EVENT_TYPES):
        event: AgentEvent = piece
        return event
    raise TypeError(f"the agent yielded {type(piece).__name__}, expected str or an agent event")
