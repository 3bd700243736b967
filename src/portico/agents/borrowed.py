"""Agents of other libraries, as the `python` runtime runs them: pydantic-ai and LangGraph.

Guarantees: neither library is imported here unless the operator's own module has done so. A
pydantic-ai agent's tools act only after the path has been told of them; a graph's tools cannot be
held back, so its turns are not resumed after a crash.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from typing import Any

from portico.agents.files import said
from portico.agents.importing import import_one
from portico.agents.model.memory import recall
from portico.agents.runtime import (
    AgentEvent,
    Final,
    ModelUsed,
    TextDelta,
    ThinkingDelta,
    ToolFinished,
    ToolStarted,
    Turn,
    Usage,
)

MEMORY_TOKENS = 32_000
_TEXTS = {"text": "text"}
_THOUGHTS = {"thinking": "thinking", "reasoning": "reasoning"}
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
    said = _Said()
    async for chunk, _metadata in graph.astream(given, config, stream_mode="messages"):
        for event in said.heard(chunk):
            yield event
    for event in said.ended():
        yield event
    yield Final()


class _Said:
    """Turns the messages of a graph, whole or in chunks, into events."""

    def __init__(self) -> None:
        self._whole: Any = None  # the message that is being streamed, as far as it has come
        self._started: set[str] = set()

    def heard(self, chunk: Any) -> Iterator[AgentEvent]:
        """Yield what a chunk says."""
        kind = str(getattr(chunk, "type", ""))
        if kind == "tool":
            yield from self.ended()
            yield from self._returned(chunk)
        elif kind in {"ai", "AIMessageChunk"}:
            if self._whole is not None and self._whole.id != chunk.id:
                yield from self.ended()
            if thought := _text(chunk.content, _THOUGHTS):
                yield ThinkingDelta(thought)
            if text := _text(chunk.content):
                yield TextDelta(text)
            self._whole = chunk if self._whole is None else self._whole + chunk
            if kind == "ai" or getattr(chunk, "chunk_position", None) == "last":
                yield from self.ended()

    def ended(self) -> Iterator[AgentEvent]:
        """Yield what is only known when a message is whole: what it used, the tools it calls."""
        message, self._whole = self._whole, None
        if message is None:
            return
        if used := getattr(message, "usage_metadata", None):
            yield _used(used, getattr(message, "response_metadata", None) or {})
        for call in getattr(message, "tool_calls", None) or ():
            self._started.add(str(call["id"]))
            yield ToolStarted(str(call["id"]), str(call["name"]), dict(call["args"]))

    def _returned(self, message: Any) -> Iterator[AgentEvent]:
        call_id, name = str(message.tool_call_id), str(message.name or "tool")
        if call_id not in self._started:
            yield ToolStarted(call_id, name)
        is_error = getattr(message, "status", None) == "error"
        yield ToolFinished(call_id, name, _text(message.content), is_error)


def _used(used: Mapping[str, Any], metadata: Mapping[str, Any]) -> ModelUsed:
    details = used.get("input_token_details") or {}
    read, cached = int(used.get("input_tokens") or 0), int(details.get("cache_read") or 0)
    written = int(details.get("cache_creation") or 0)
    usage = Usage(
        input=max(0, read - cached - written),
        output=int(used.get("output_tokens") or 0),
        cache_read=cached,
        cache_write=written,
        context=read,
    )
    provider, model = metadata.get("model_provider"), metadata.get("model_name")
    return ModelUsed(usage, provider, model)


async def _messages(turn: Turn, *, remembers: bool) -> list[dict[str, str]]:
    messages: list[dict[str, str]] = []
    if turn.request.system_prompt:
        messages.append({"role": "system", "content": turn.request.system_prompt})
    if not remembers:
        memory = await recall(turn, most_tokens=MEMORY_TOKENS)
        spoken = (e for e in memory.entries if e.role in {"user", "assistant"})
        messages += [{"role": e.role, "content": said(e.content)} for e in spoken]
    return [*messages, {"role": "user", "content": turn.request.text}]


def _text(content: Any, kinds: Mapping[str, str] = _TEXTS) -> str:
    """Return the text in a message's content; `kinds`: types of its parts, and where it stands."""
    if isinstance(content, str):
        return content if kinds is _TEXTS else ""
    return "".join(
        (part if kinds is _TEXTS else "")
        if isinstance(part, str)
        else str(part.get(kinds.get(str(part.get("type", "text")), ""), "") or "")
        for part in content or ()
    )
