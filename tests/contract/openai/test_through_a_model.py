"""The official SDK asks an agent that thinks with a language model, and runs its own tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import openai
import pydantic
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
TOOL_OF_CHAT: Any = {"type": "function", "function": WEATHER}
CALL = ("weather", '{"town":"Rome"}')


def thinking_with(provider: FakeProvider) -> dict[str, Any]:
    lab = {"baseUrl": provider.url, "apiKey": "k", "models": [{"id": "m"}]}
    return {
        "models": {"providers": {"lab": lab}},
        "agents": {"list": [{"id": "main", "model": "lab/m", "runtime": {"type": "model"}}]},
        "tools": {"deny": ["*"]},  # what the caller brings is looked at here
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


SCHEMA: Any = {
    "type": "object",
    "properties": {"town": {"type": "string"}, "sunny": {"type": "boolean"}},
    "required": ["town"],
    "additionalProperties": False,
}
ANSWER = '{"town":"Rome","sunny":true}'


async def test_what_the_caller_wishes_reaches_the_provider(tmp_path: Path) -> None:
    async with (
        FakeProvider() as provider,
        connected(tmp_path, **thinking_with(provider)) as to,
    ):
        await to.ask(
            "x",
            temperature=0.25,
            top_p=0.5,
            max_completion_tokens=77,
            frequency_penalty=0.1,
            presence_penalty=-0.2,
            seed=42,
            stop=["END", "FIN"],
            reasoning_effort="low",
        )
        await to.openai.responses.create(
            model="portico", input="x", temperature=0.75, top_p=0.4, max_output_tokens=55
        )
        await to.ask("x", stop="END")
        chat_request, response_request, third = provider.requests
    assert {name: chat_request[name] for name in ("temperature", "top_p", "max_tokens")} == {
        "temperature": 0.25,
        "top_p": 0.5,
        "max_tokens": 77,
    }
    assert (chat_request["frequency_penalty"], chat_request["presence_penalty"]) == (0.1, -0.2)
    assert (chat_request["seed"], chat_request["stop"]) == (42, ["END", "FIN"])
    assert (response_request["temperature"], response_request["top_p"]) == (0.75, 0.4)
    assert response_request["max_tokens"] == 55
    assert third["stop"] == ["END"]
    assert not {"temperature", "top_p", "max_tokens", "seed"} & third.keys()


@pytest.mark.parametrize(
    ("choice", "sent", "offered"),
    [
        ("auto", "auto", ["weather", "stocks"]),
        ("none", None, []),
        ("required", "required", ["weather", "stocks"]),
        (
            {"type": "function", "function": {"name": "stocks"}},
            {"type": "function", "function": {"name": "stocks"}},
            ["weather", "stocks"],
        ),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [{"type": "function", "function": {"name": "weather"}}],
                },
            },
            "auto",
            ["weather"],
        ),
    ],
)
async def test_which_tool_the_model_may_choose(
    tmp_path: Path, choice: Any, sent: Any, offered: list[str]
) -> None:
    tools = [
        {"type": "function", "function": WEATHER},
        {"type": "function", "function": {"name": "stocks"}},
    ]
    async with (
        FakeProvider() as provider,
        connected(tmp_path, **thinking_with(provider)) as to,
    ):
        await to.ask("x", tools=tools, tool_choice=choice, parallel_tool_calls=False)
        (request,) = provider.requests
    assert [tool["function"]["name"] for tool in request.get("tools", ())] == offered
    assert request.get("parallel_tool_calls") == (False if offered else None)
    assert request.get("tool_choice") == sent


async def test_a_tool_that_must_be_used_but_was_not_offered(tmp_path: Path) -> None:
    async with (
        FakeProvider() as provider,
        connected(tmp_path, **thinking_with(provider)) as to,
    ):
        other = {"type": "function", "function": {"name": "other"}}
        cases: list[tuple[Any, Any]] = [(other, {"tools": [TOOL_OF_CHAT]}), ("required", {})]
        for given, offered in cases:
            with pytest.raises(openai.BadRequestError) as refused:
                await to.ask("x", tool_choice=given, **offered)
            assert refused.value.param == "tool_choice"
        assert not provider.requests


async def test_an_answer_in_a_schema(tmp_path: Path) -> None:
    wanted = {"name": "weather", "description": "Of a town", "schema": SCHEMA, "strict": True}
    async with (
        FakeProvider(lambda _: Say(ANSWER)) as provider,
        connected(tmp_path, **thinking_with(provider)) as to,
    ):
        made = await to.ask("x", response_format={"type": "json_schema", "json_schema": wanted})
        assert made == ANSWER
        response = await to.openai.responses.create(
            model="portico",
            input="x",
            text=cast("Any", {"format": {"type": "json_schema", **wanted}}),
        )
        assert response.output_text == ANSWER
        await to.ask("x", response_format={"type": "json_object"})
        await to.ask("x", response_format={"type": "text"})
        first, second, third, fourth = provider.requests
    assert first["response_format"] == {"type": "json_schema", "json_schema": wanted}
    assert second["response_format"] == first["response_format"]
    assert third["response_format"] == {"type": "json_object"}
    assert "response_format" not in fourth


async def test_a_stream_in_json_is_json_or_says_that_it_failed(tmp_path: Path) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA}}
    async with (
        FakeProvider() as provider,
        connected(tmp_path, **thinking_with(provider)) as to,
    ):

        async def pieces() -> list[str]:
            stream = await to.openai.chat.completions.create(
                model="portico",
                messages=[{"role": "user", "content": "x"}],
                response_format=wanted,
                stream=True,
            )
            return [c.choices[0].delta.content or "" async for c in stream if c.choices]

        provider.plan(Say("Sunny, I think."), Say(ANSWER))
        assert [piece for piece in await pieces() if piece] == [ANSWER]
        provider.default = lambda _: Say("Sunny.")
        with pytest.raises(openai.APIError, match="did not answer in the JSON"):
            await pieces()
        with pytest.raises(openai.InternalServerError, match="did not answer in the JSON"):
            await to.ask("x", response_format=wanted)


async def test_the_sdk_parses_what_it_asked_for(tmp_path: Path) -> None:
    class Weather(pydantic.BaseModel):
        town: str
        sunny: bool

    async with (
        FakeProvider(lambda _: Say(ANSWER)) as provider,
        connected(tmp_path, **thinking_with(provider)) as to,
    ):
        made = await to.openai.chat.completions.parse(
            model="portico",
            messages=[{"role": "user", "content": "x"}],
            response_format=Weather,
        )
        assert made.choices[0].message.parsed == Weather(town="Rome", sunny=True)
        schema = provider.requests[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"].keys() == {"town", "sunny"}
