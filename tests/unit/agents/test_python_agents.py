"""The python runtime with agents of other libraries."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import Field
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from portico.agents.python import PythonRuntime
from portico.agents.runtime import (
    Final,
    HistoryMessage,
    ModelUsed,
    TextDelta,
    ThinkingDelta,
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


class Thinker(BaseChatModel):
    """A LangChain model that says what it is given to say, chunk by chunk."""

    says: list[list[AIMessageChunk]]
    asked: list[list[BaseMessage]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "thinker"

    def _generate(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("it is streamed")

    async def _astream(self, messages: Any, *_: Any, **__: Any) -> AsyncIterator[Any]:
        self.asked.append(messages)
        for chunk in self.says.pop(0):
            yield ChatGenerationChunk(message=chunk)


LOOKING = [
    AIMessageChunk(content=[{"type": "thinking", "thinking": "Hm. "}]),
    AIMessageChunk(content="Let me "),
    AIMessageChunk(content="look. "),
    AIMessageChunk(
        content="", tool_call_chunks=[{"name": "look", "args": '{"where"', "id": "c1", "index": 0}]
    ),
    AIMessageChunk(
        content="", tool_call_chunks=[{"name": None, "args": ': "garden"}', "id": None, "index": 0}]
    ),
    AIMessageChunk(
        content="",
        usage_metadata={
            "input_tokens": 100,
            "output_tokens": 20,
            "total_tokens": 120,
            "input_token_details": {"cache_read": 40},
        },
    ),
]


@tool
async def look(where: str) -> str:
    """Look somewhere."""
    if where == "cellar":
        raise ValueError("it is dark")
    return f"a {where}"


def graph_of(thinker: Thinker, **options: Any) -> Any:
    """A ReAct graph: the model thinks, its tools run, it thinks again."""

    async def think(state: Any) -> dict[str, Any]:
        return {"messages": [await thinker.ainvoke(state["messages"])]}

    graph: Any = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode([look], handle_tool_errors=True))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition)
    graph.add_edge("tools", "think")
    return graph.compile(**options)


async def test_a_langgraph_graph(module: ModuleType) -> None:
    thinker = Thinker(says=[LOOKING, [AIMessageChunk(content="Grass.")]])
    module.graph = graph_of(thinker)  # type: ignore[attr-defined]
    runtime = PythonRuntime("agents_of_a_test:graph")
    events = await answer(runtime, turn_of("where?", entries=HISTORY, system_prompt="Be brief."))
    assert [event for event in events if not isinstance(event, ModelUsed)] == [
        ThinkingDelta("Hm. "),
        TextDelta("Let me "),
        TextDelta("look. "),
        ToolStarted("c1", "look", {"where": "garden"}),
        ToolFinished("c1", "look", "a garden"),
        TextDelta("Grass."),
        Final(),
    ]
    (used,) = (event.usage for event in events if isinstance(event, ModelUsed))
    assert (used.input, used.cache_read, used.output, used.context) == (60, 40, 20, 100)
    first, second = thinker.asked
    assert [m.content for m in first] == ["Be brief.", "I am Ada", "Hello Ada", "where?"]
    assert second[-1].content == "a garden"


async def test_a_graph_that_remembers_by_itself(module: ModuleType) -> None:
    thinker = Thinker(says=[[AIMessageChunk(content="One.")], [AIMessageChunk(content="Two.")]])
    module.graph = graph_of(thinker, checkpointer=InMemorySaver())  # type: ignore[attr-defined]
    runtime = PythonRuntime("agents_of_a_test:graph")
    assert text_of(await answer(runtime, turn_of("one?"))) == "One."
    assert text_of(await answer(runtime, turn_of("two?", entries=HISTORY))) == "Two."
    assert [m.content for m in thinker.asked[1]] == ["one?", "One.", "two?"]  # its thread, not ours


async def test_a_graph_whose_tool_fails(module: ModuleType) -> None:
    call: Any = {"name": "look", "args": {"where": "cellar"}, "id": "c2", "type": "tool_call"}
    thinker = Thinker(
        says=[[AIMessageChunk(content="", tool_calls=[call])], [AIMessageChunk(content="Dark.")]]
    )
    module.graph = graph_of(thinker)  # type: ignore[attr-defined]
    events = await answer(PythonRuntime("agents_of_a_test:graph"), turn_of("where?"))
    (ended,) = (event for event in events if isinstance(event, ToolFinished))
    assert ended.is_error
    assert text_of(events) == "Dark."


async def test_a_graph_whose_model_does_not_stream(module: ModuleType) -> None:
    async def think(_state: Any) -> dict[str, Any]:
        return {"messages": [AIMessage(content="All at once.")]}

    graph: Any = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_edge(START, "think")
    module.graph = graph.compile()  # type: ignore[attr-defined]
    events = await answer(PythonRuntime("agents_of_a_test:graph"), turn_of("well?"))
    assert events == [TextDelta("All at once."), Final()]
