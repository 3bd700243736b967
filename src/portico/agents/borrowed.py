"""Agents of other libraries, as the `python` runtime runs them: pydantic-ai and LangGraph.

Guarantees: neither library is imported here unless the operator's own module has done so. A
pydantic-ai agent's tools act only after the path has been told of them; a graph's tools cannot be
held back, so its turns are not resumed after a crash.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

from portico.agents.importing import import_one
from portico.agents.model.memory import parts_of, recall
from portico.agents.runtime import AgentEvent, Final, TextDelta, ToolFinished, ToolStarted, Turn

MEMORY_TOKENS = 32_000
Answer = Callable[[Turn], AsyncGenerator[AgentEvent, None]]


def borrowed(target: Any) -> Answer | None:
    """Return how to run an agent object of another library; `None`: it is none."""
    families = {base.__module__.partition(".")[0] for base in type(target).__mro__}
    if "pydantic_ai" in families and hasattr(target, "run_stream_events"):
        pydantic_ai: Any = import_one("portico.agents.model.agent_object")
        return lambda turn: pydantic_ai.answer_with(target, turn)
    if hasattr(target, "astream") and hasattr(target, "ainvoke"):
        return lambda turn: _graph(target, turn)
    return None


async def _graph(graph: Any, turn: Turn) -> AsyncGenerator[AgentEvent, None]:
    """Run a LangGraph graph whose state holds `messages`."""
    config = {"configurable": {"thread_id": turn.session_id}}
    given = {
        "messages": await _messages(turn, remembers=bool(getattr(graph, "checkpointer", None)))
    }
    async for chunk, _metadata in graph.astream(given, config, stream_mode="messages"):
        kind = str(getattr(chunk, "type", ""))
        if kind == "tool":
            call_id, name = str(chunk.tool_call_id), str(chunk.name or "tool")
            yield ToolStarted(call_id, name)
            yield ToolFinished(call_id, name, _text(chunk.content))
        elif kind in {"ai", "AIMessageChunk"} and (text := _text(chunk.content)):
            yield TextDelta(text)
    yield Final()


async def _messages(turn: Turn, *, remembers: bool) -> list[dict[str, str]]:
    messages: list[dict[str, str]] = []
    if turn.request.system_prompt:
        messages.append({"role": "system", "content": turn.request.system_prompt})
    if not remembers:
        memory = await recall(turn, most_tokens=MEMORY_TOKENS)
        spoken = (e for e in memory.entries if e.role in {"user", "assistant"})
        messages += [{"role": e.role, "content": _text(parts_of(e.content))} for e in spoken]
    return [*messages, {"role": "user", "content": turn.request.text}]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(
        part if isinstance(part, str) else str(part.get("text") or "") for part in content or ()
    )
