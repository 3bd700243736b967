"""The official SDK asks an agent that thinks with a language model, and runs its own tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from tests.contract.openai.sdk import Connected, connected
from tests.fakes.provider import FakeProvider, Refuse, Say

pytestmark = pytest.mark.anyio

WEATHER: Any = {
    "name": "weather",
    "description": "The weather of a town",
    "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
}
TOOL: Any = {"type": "function", **WEATHER}
CALL = ("weather", '{"town":"Rome"}')


def thinking_with(provider: FakeProvider) -> dict[str, Any]:
    lab = {"baseUrl": provider.url, "apiKey": "k", "models": [{"id": "m"}]}
    return {
        "models": {"providers": {"lab": lab}},
        "agents": {"list": [{"id": "main", "model": "lab/m", "runtime": {"type": "model"}}]},
    }


def texts(request: Any) -> list[tuple[str, Any]]:
    return [(message["role"], message.get("content")) for message in request["messages"]]


async def chat(to: Connected, messages: Any) -> tuple[str, list[Any], str | None]:
    async with to.openai.chat.completions.stream(
        model="portico",
        messages=messages,
        tools=[{"type": "function", "function": WEATHER}],
    ) as stream:
        async for _ in stream:
            pass
        (choice,) = (await stream.get_final_completion()).choices
    return choice.message.content or "", choice.message.tool_calls or [], choice.finish_reason


async def test_a_tool_of_the_caller_in_chat_completions(tmp_path: Path) -> None:
    async with (
        FakeProvider() as provider,
        connected(tmp_path, **thinking_with(provider)) as to,
    ):
        provider.plan(Say("", calls=(CALL,)), Say("It is sunny in Rome."))
        asked: Any = [
            {"role": "user", "content": "I am Ann."},
            {"role": "assistant", "content": "Hello Ann."},
            {"role": "user", "content": "Weather in Rome?"},
        ]
        _, (call,), finish = await chat(to, asked)
        assert finish == "tool_calls"
        assert (call.function.name, call.function.arguments) == ("weather", '{"town":"Rome"}')
        called = {"id": call.id, "type": "function", "function": call.function.model_dump()}
        called["function"].pop("parsed_arguments", None)
        asked += [
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
        ]
        text, calls, finish = await chat(to, asked)
        assert (text, calls, finish) == ("It is sunny in Rome.", [], "stop")
        first, second = provider.requests
    assert [tool["function"]["name"] for tool in first["tools"]] == ["weather"]
    assert ("user", "I am Ann.") in texts(first)
    assert ("assistant", "Hello Ann.") in texts(first)
    assert ("user", "Weather in Rome?") in texts(first)
    assert second["messages"][-1]["role"] == "tool"
    assert second["messages"][-1]["content"] == "sunny"
    assert second["messages"][-2]["tool_calls"][0]["id"] == call.id


async def test_a_tool_of_the_caller_in_responses(tmp_path: Path) -> None:
    async with (
        FakeProvider() as provider,
        connected(tmp_path, **thinking_with(provider)) as to,
    ):
        provider.plan(Say("", calls=(CALL,)), Say("It is sunny."))
        create = to.openai.responses.create
        first = await create(model="portico", input="Weather in Rome?", tools=[TOOL])
        (call,) = first.output
        assert call.type == "function_call"
        second = await create(
            model="portico",
            previous_response_id=first.id,
            input=[{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}],
        )
        assert second.output_text == "It is sunny."
        request = provider.requests[1]
    assert ("user", "Weather in Rome?") in texts(request)
    last = request["messages"][-1]
    assert (last["role"], last["content"]) == ("tool", "sunny")


async def test_a_provider_that_refuses(tmp_path: Path) -> None:
    async with (
        FakeProvider(lambda _: Refuse(401)) as provider,
        connected(tmp_path, **thinking_with(provider)) as to,
    ):
        with pytest.raises(openai.APIStatusError) as refused:
            await to.ask("x")
    assert refused.value.status_code >= 400
    assert "401" not in str(refused.value.body)
