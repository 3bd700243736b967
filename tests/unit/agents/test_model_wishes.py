"""What callers want of an answer, with models that can do it and models that cannot."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from portico.agents.client_tools import tool_choice
from portico.agents.model.catalog import ModelSpec
from portico.agents.model.finish import NotJson, as_json
from portico.agents.model.settings import AgentModel
from portico.agents.model.wishes import Wishes
from portico.agents.runtime import AgentEvent, Failed, Final, TextDelta, ThinkingDelta
from tests.fakes import streams
from tests.fakes.provider import FakeProvider, Raw, Say
from tests.support.thinking import answer, model_runtime, provider_spec, text_of, turn_of

SCHEMA = {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
TOOL = {"name": "weather", "parameters": {"type": "object"}}
ROME = '{"town":"Rome"}'


async def asked(
    model: str, api: Any, *, thinking: str | None = None, **wishes: Any
) -> tuple[dict[str, Any], list[AgentEvent]]:
    """What a model was sent, and what came of it."""
    async with FakeProvider() as server:
        spec = replace(provider_spec(server, "fake", ModelSpec(model)), api=api)
        if api == "anthropic-messages":
            spec = replace(spec, base_url=server.url.removesuffix("/v1"))
        server.plan(Raw(tuple(streams.APIS[api](ROME))))
        runtime = model_runtime(spec, settings=AgentModel(f"fake/{model}", thinking=thinking))
        extensions = {f"openai.{name}": value for name, value in wishes.items()}
        events = await answer(runtime, turn_of("where?", extensions=extensions))
        assert text_of(events) == ROME
        await runtime.close()
        (request,) = server.requests
        return request, events


async def test_a_schema_in_responses() -> None:
    request, _ = await asked("gpt-5", "openai-responses", response_format=FORMAT)
    sent = request["text"]["format"]
    assert (sent["type"], sent["name"]) == ("json_schema", "place")
    assert sent["schema"] == SCHEMA
    request, _ = await asked("gpt-5", "openai-responses", response_format={"type": "json_object"})
    assert request["text"]["format"] == {"type": "json_object"}


async def told(wanted: Any, *says: Say) -> tuple[list[AgentEvent], int]:
    """What came of a wish for JSON, and how often the model was asked."""
    async with FakeProvider() as server:
        server.plan(*says)
        runtime = model_runtime(provider_spec(server))
        extensions = {"openai.response_format": wanted}
        events = await answer(runtime, turn_of("where?", extensions=extensions))
        if isinstance(events[-1], Failed):  # that it cannot do this says nothing about the rest
            assert text_of(await answer(runtime, turn_of("hello"))) == "Hello from the model."
            server.requests.pop()
        await runtime.close()
        return events, len(server.requests)


async def test_what_is_not_json_is_asked_for_again_and_not_shown() -> None:
    events, asked_ = await told(FORMAT, Say("I think it is Rome."), Say(ROME, thinking="Hm."))
    assert [one for one in events if isinstance(one, TextDelta)] == [TextDelta(ROME)]
    assert ThinkingDelta("Hm.") in events
    assert isinstance(events[-1], Final)
    assert asked_ == 2


async def test_who_never_answers_in_json_has_not_answered() -> None:
    events, asked_ = await told(FORMAT, Say("Rome"), Say("Rome."), Say("Rome!"))
    assert events[-1] == Failed("fake/m did not answer in the JSON that was asked for.")
    assert text_of(events) == ""
    assert asked_ == 3


async def test_json_that_is_cut_off_is_what_there_is() -> None:
    events, asked_ = await told(FORMAT, Say('{"town":', finish="length"))
    assert (text_of(events), asked_) == ('{"town":', 1)
    assert events[-1] == Final(stop_reason="length")


@pytest.mark.parametrize(
    ("said", "is_object"),
    [
        (ROME, True),
        (f"```json\n{ROME}\n```\n", True),
        (f"```\n{ROME}\n```", True),
        (f" {ROME}\n", True),
        ("[1]", False),
        ('"Rome"', False),
    ],
)
def test_what_is_json(said: str, is_object: bool) -> None:
    assert json.loads(as_json(said, is_object=is_object)) is not None


@pytest.mark.parametrize(
    "said", ["", "Rome", "{", f"Here: {ROME}", f"{ROME} {ROME}", "[" * 100_000, "[1]", "NaN"]
)
def test_what_is_no_json_object(said: str) -> None:
    with pytest.raises(NotJson):
        as_json(said, is_object=True)


async def test_a_schema_for_a_model_that_can_keep_to_it() -> None:
    request, _ = await asked("claude-opus-5", "anthropic-messages", response_format=FORMAT)
    sent = request["output_config"]["format"]
    assert sent["type"] == "json_schema"
    assert sent["schema"]["properties"] == SCHEMA["properties"]


async def test_a_schema_for_a_model_that_has_to_be_told() -> None:
    request, _ = await asked("claude-3-5-haiku", "anthropic-messages", response_format=FORMAT)
    assert "output_config" not in request
    assert "town" in json.dumps(request["system"])
    request, _ = await asked(
        "claude-3-5-haiku", "anthropic-messages", response_format={"type": "json_object"}
    )
    assert "one JSON object and nothing else" in json.dumps(request["system"])


async def test_a_choice_the_model_can_be_forced_to_and_one_it_cannot() -> None:
    forced: dict[str, Any] = {"tools": [TOOL], "tool_choice": "required"}
    request, _ = await asked("claude-opus-5", "anthropic-messages", **forced)
    assert request["tool_choice"]["type"] in {"any", "tool"}
    request, _ = await asked("openai/gpt-oss-120b", "openai-completions", **forced)
    assert request.get("tool_choice") in {None, "auto"}
    assert [tool["function"]["name"] for tool in request["tools"]] == ["weather"]


async def test_what_an_api_has_no_setting_for_is_left_out() -> None:
    sampling = {"temperature": 0.5, "seed": 4, "stop": ["END"], "frequency_penalty": 0.5}
    request, _ = await asked("m", "anthropic-messages", sampling=sampling)
    assert (request["temperature"], request["stop_sequences"]) == (0.5, ["END"])
    assert not {"seed", "frequency_penalty"} & request.keys()
    request, _ = await asked("m", "openai-responses", sampling=sampling)
    assert request["temperature"] == 0.5
    assert not {"seed", "stop", "frequency_penalty"} & request.keys()


async def test_the_caller_may_shorten_an_answer_but_not_lengthen_it() -> None:
    for wanted, sent in ((10, 10), (1_000, 50)):
        async with FakeProvider() as server:
            spec = provider_spec(server, "fake", ModelSpec("m", max_tokens=50))
            runtime = model_runtime(spec)
            wishes = {"openai.sampling": {"max_tokens": wanted}}
            await answer(runtime, turn_of(extensions=wishes))
            assert server.requests[0]["max_tokens"] == sent
            await runtime.close()


@pytest.mark.parametrize(
    "given", [None, 7, [], {"tools": 7, "tool_choice": 7}, {"tools": [7, {"name": 7}]}]
)
def test_whatever_stands_in_the_extensions_is_survived(given: Any) -> None:
    extensions = given if isinstance(given, dict) else {"tools": given, "sampling": given}
    found = Wishes.of({f"openai.{name}": value for name, value in extensions.items()})
    assert not found.tools
    assert not found.settings


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, ("auto", frozenset())),
        ("none", ("none", frozenset())),
        ("whatever", ("auto", frozenset())),
        ({"type": "function", "name": "a"}, ("required", {"a"})),
        ({"type": "function", "function": {"name": "a"}}, ("required", {"a"})),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"name": "a"}, {"name": "b"}]},
            ("required", {"a", "b"}),
        ),
    ],
)
def test_both_shapes_of_a_tool_choice(given: Any, read: Any) -> None:
    assert tool_choice(given) == read
