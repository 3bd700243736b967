"""The python runtime with agents of other libraries."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from portico.agents.python import PythonRuntime
from portico.agents.runtime import (
    Final,
    HistoryMessage,
    ModelUsed,
    TextDelta,
    ToolFinished,
    ToolStarted,
)
from tests.fakes.provider import FakeProvider, Say
from tests.support.thinking import answer, text_of, turn_of

HISTORY = (
    HistoryMessage("user", "I am Ada"),
    HistoryMessage("assistant", [{"type": "text", "text": "Hello Ada"}]),
)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("agents_of_a_test")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


async def test_a_pydantic_ai_agent(module: ModuleType) -> None:
    acted: list[str] = []
    async with FakeProvider() as provider:
        model = OpenAIChatModel(
            "m", provider=OpenAICompatibleProvider("fake", base_url=provider.url)
        )
        agent = Agent(model, instructions="Be brief.")

        @agent.tool_plain
        def weather(city: str) -> str:
            acted.append(city)
            return f"Sunny in {city}"

        module.agent = agent  # type: ignore[attr-defined]
        provider.plan(Say("Looking. ", calls=(("weather", '{"city": "Oslo"}'),)), Say("Sunny."))
        told: list[list[str]] = []

        def look(event: Any) -> None:
            if isinstance(event, ToolStarted):
                told.append([*acted])

        runtime = PythonRuntime("agents_of_a_test:agent")
        wanted = {"openai.sampling": {"temperature": 0.5, "max_tokens": 9}}
        turn = turn_of("weather?", entries=HISTORY, extensions=wanted)
        events = await answer(runtime, turn, on_event=look)
        assert provider.requests[0]["temperature"] == 0.5
        assert told == [[]]  # it was told of before it acted
        assert acted == ["Oslo"]
        started = next(e for e in events if isinstance(e, ToolStarted))
        assert (started.name, started.arguments) == ("weather", {"city": "Oslo"})
        assert [e.result for e in events if isinstance(e, ToolFinished)] == ["Sunny in Oslo"]
        assert text_of(events) == "Looking. Sunny."
        assert events[-1] == Final()
        assert sum(e.usage.output for e in events if isinstance(e, ModelUsed)) == 14
        sent = [message["content"] for message in provider.requests[0]["messages"]]
        assert sent == ["Be brief.", "I am Ada", "Hello Ada", "weather?"]


class Graph:
    """What the runtime needs of a compiled LangGraph graph."""

    checkpointer = None

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def ainvoke(self, given: Any, config: Any = None) -> Any:
        raise AssertionError

    async def astream(self, given: Any, config: Any = None, *, stream_mode: str) -> Any:
        self.seen.append((given, config, stream_mode))
        yield SimpleNamespace(type="AIMessageChunk", content="Let me see. "), {}
        yield SimpleNamespace(type="tool", content="42", tool_call_id="c1", name="sum"), {}
        yield SimpleNamespace(type="AIMessageChunk", content=[{"text": "42"}]), {}


async def test_a_langgraph_graph(module: ModuleType) -> None:
    module.graph = graph = Graph()  # type: ignore[attr-defined]
    runtime = PythonRuntime("agents_of_a_test:graph")
    events = await answer(runtime, turn_of("sum?", entries=HISTORY))
    assert events == [
        TextDelta("Let me see. "),
        ToolStarted("c1", "sum"),
        ToolFinished("c1", "sum", "42"),
        TextDelta("42"),
        Final(),
    ]
    given, config, mode = graph.seen[0]
    assert [m["content"] for m in given["messages"]] == ["I am Ada", "Hello Ada", "sum?"]
    assert (config, mode) == ({"configurable": {"thread_id": "sid"}}, "messages")
    graph.checkpointer = object()  # type: ignore[assignment]
    await answer(runtime, turn_of("and?", entries=HISTORY))
    assert [m["content"] for m in graph.seen[1][0]["messages"]] == ["and?"]
