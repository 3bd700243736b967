"""Every kind of provider: what it streams becomes events, what a tool found goes back to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from portico.agents.model.catalog import Api, ModelSpec
from portico.agents.runtime import Final, ModelUsed, ToolFinished, ToolStarted
from portico.agents.tools.contract import Tool, ToolCall
from tests.fakes import answers, streams
from tests.fakes.answers import CALL_ID, TEXT, THOUGHT, TOOL
from tests.fakes.provider import FakeProvider, Raw
from tests.support.thinking import (
    answer,
    model_runtime,
    provider_spec,
    text_of,
    thinking_of,
    turn_of,
)


@dataclass(frozen=True)
class Kind:
    """A kind of provider.

    Attributes:
        path: where it is asked, after the base address.
        last: what it says when it has the tool's result.
        result: where in the second request that is.
    """

    api: Api
    first: Callable[[], tuple[bytes, ...]]
    path: str
    last: tuple[bytes, ...]
    result: Callable[[Mapping[str, Any]], Any]


def of_chat(first: Callable[[], tuple[bytes, ...]], api: Api = "openai-completions") -> Kind:
    def result(request: Mapping[str, Any]) -> Any:
        message = request["messages"][-1]
        return message["role"], message["tool_call_id"], message["content"]

    return Kind(api, first, "/chat/completions", tuple(streams.chat("Grass.")), result)


def of_responses(request: Mapping[str, Any]) -> Any:
    item = request["input"][-1]
    return item["type"], item["call_id"], item["output"]


def of_messages(request: Mapping[str, Any]) -> Any:
    (block,) = request["messages"][-1]["content"]
    return block["type"], block["tool_use_id"], block["content"]


def of_gemini(request: Mapping[str, Any]) -> Any:
    (part,) = request["contents"][-1]["parts"]
    found = part["functionResponse"]
    return "functionResponse", found["name"], found["response"]


GRASS = (
    streams.event(
        {
            "candidates": [
                {
                    "content": {"role": "model", "parts": [{"text": "Grass."}]},
                    "finishReason": "STOP",
                    "index": 0,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": 1,
                "candidatesTokenCount": 1,
                "totalTokenCount": 2,
            },
        }
    ),
)
KINDS: dict[str, Kind] = {
    "openai-completions": of_chat(answers.reasoning_content),
    "ollama": of_chat(answers.reasoning, "ollama"),
    "thoughts in tags": of_chat(answers.think_tags),
    "mistral": of_chat(answers.mistral),
    "openai-responses": Kind(
        "openai-responses",
        answers.responses,
        "/responses",
        tuple(streams.responses("Grass.")),
        of_responses,
    ),
    "anthropic-messages": Kind(
        "anthropic-messages",
        answers.messages,
        "/v1/messages",
        tuple(streams.messages("Grass.")),
        of_messages,
    ),
    "google-generative-ai": Kind(
        "google-generative-ai",
        answers.gemini,
        "/v1beta/models/m:streamGenerateContent",
        GRASS,
        of_gemini,
    ),
}
OWN_VERSION = {"anthropic-messages", "google-generative-ai"}  # the SDKs say the /v1 themselves
RESULTS: dict[str, Any] = {
    "openai-responses": ("function_call_output", CALL_ID, "a garden"),
    "anthropic-messages": ("tool_result", CALL_ID, [{"type": "text", "text": "a garden"}]),
    "google-generative-ai": ("functionResponse", TOOL, {"return_value": "a garden"}),
}


async def _look(_call: ToolCall, given: Mapping[str, Any]) -> str:
    return f"a {given['where']}"


LOOK = Tool(name=TOOL, description="Looks.", run=_look, changes=False)


@pytest.mark.parametrize("name", KINDS)
async def test_a_provider_of_this_kind(name: str) -> None:
    kind = KINDS[name]
    async with FakeProvider() as server:
        spec = replace(provider_spec(server, "fake", ModelSpec("m")), api=kind.api)
        if kind.api in OWN_VERSION:
            spec = replace(spec, base_url=server.url.removesuffix("/v1"))
        runtime = model_runtime(spec, tools=(LOOK,))
        server.plan(Raw(kind.first()), Raw(kind.last))
        events = await answer(runtime, turn_of("What is in the garden?"))
        assert thinking_of(events) == THOUGHT
        assert text_of(events) == f"{TEXT}\n\nGrass."
        started = [(e.name, e.arguments) for e in events if isinstance(e, ToolStarted)]
        assert started == [(TOOL, {"where": "garden"})]
        assert [e.result for e in events if isinstance(e, ToolFinished)] == ["a garden"]
        assert events[-1] == Final()
        used = next(e for e in events if isinstance(e, ModelUsed)).usage
        assert (used.input, used.cache_read, used.output, used.context) == (60, 40, 20, 100)
        assert server.headers[0][":path"].partition("?")[0].endswith(kind.path)
        result = kind.result(server.requests[1])
        assert result == RESULTS.get(name, ("tool", CALL_ID, "a garden"))
        assert "key-of-fake" in json.dumps(server.headers[0])
        await runtime.close()
