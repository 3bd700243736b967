"""Chat completions, asked by the official SDK."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from portico.agents.runtime import (
    Failed,
    Final,
    HistoryMessage,
    ModelUsed,
    TextDelta,
    ThinkingDelta,
    ToolCallRequested,
    ToolFinished,
    ToolStarted,
    Usage,
)
from tests.contract.openai.sdk import Connected, connected
from tests.support.http import TOKEN, Scripted
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

HELLO: Any = [{"role": "user", "content": "hello"}]
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n-not-really").decode()
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather",
        "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
    },
}


async def test_an_answer(tmp_path: Path) -> None:
    async with connected(tmp_path) as to:
        answer = await to.openai.chat.completions.create(model="portico", messages=HELLO)
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl_")
    assert answer.model == "portico"
    (choice,) = answer.choices
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.content) == ("assistant", "Echo: hello")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (1, 2)
    assert answer.usage.total_tokens == 3


async def test_a_stream(tmp_path: Path) -> None:
    async with connected(tmp_path) as to:
        stream = await to.openai.chat.completions.create(
            model="portico", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Echo: hello"
    reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert reasons == [None] * (len(reasons) - 1) + ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert [bool(c.usage) for c in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 3


async def test_a_stream_without_usage_has_none(tmp_path: Path) -> None:
    async with connected(tmp_path) as to:
        stream = await to.openai.chat.completions.create(
            model="portico", messages=HELLO, stream=True
        )
        assert all(chunk.usage is None for chunk in [chunk async for chunk in stream])


async def test_the_bytes_of_a_stream_are_the_recorded_ones(tmp_path: Path) -> None:
    async with connected(tmp_path) as to:
        body = {"model": "openclaw", "stream": True, "messages": HELLO}
        answer = await to.house.client.post("/v1/chat/completions", json=body)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    blocks = answer.text.split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    choices = [block.partition('"choices":')[2] for block in blocks]
    assert choices[0] == '[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}]}'
    assert choices[1] == '[{"index":0,"delta":{"content":"Echo:"},"finish_reason":null}]}'
    assert choices[-3] == '[{"index":0,"delta":{},"finish_reason":"stop"}]}'
    assert blocks[0].startswith('data: {"id":"chatcmpl_')


async def test_the_text_at_the_end_is_streamed_too(tmp_path: Path) -> None:
    runtime = Scripted(TextDelta("one "), Final("one two"))
    async with connected(tmp_path, runtime=runtime) as to:
        stream = await to.openai.chat.completions.create(
            model="portico", messages=HELLO, stream=True
        )
        pieces = [c.choices[0].delta.content async for c in stream]
    assert pieces == [None, "one ", "two", None]


async def test_an_empty_answer_says_so(tmp_path: Path) -> None:
    async with connected(tmp_path) as to:
        whole = await to.ask("/sim empty=1\n")
        assert whole
        stream = await to.openai.chat.completions.create(
            model="portico", messages=[{"role": "user", "content": "/sim empty=1\n"}], stream=True
        )
        assert "".join([c.choices[0].delta.content or "" async for c in stream]) == whole


async def test_the_conversation_so_far_reaches_the_agent(tmp_path: Path) -> None:
    runtime = Scripted()
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "I am Ann."},
        {"role": "assistant", "content": "Hello Ann."},
        {"role": "developer", "content": [{"type": "text", "text": "In French."}]},
        {"role": "user", "content": "Who am I?", "name": "ann"},
    ]
    async with connected(tmp_path, runtime=runtime) as to:
        await to.ask("", messages=messages, temperature=0.5, max_tokens=9, stop=["x"], seed=3)
    (request,) = runtime.seen
    assert request.text == "Who am I?"
    assert request.sender_name == "ann"
    assert request.system_prompt == "Be brief.\n\nIn French."
    assert request.prior == (
        HistoryMessage("user", "I am Ann."),
        HistoryMessage("assistant", "Hello Ann."),
    )
    assert request.extensions["openai.sampling"] == {
        "temperature": 0.5,
        "max_tokens": 9,
        "stop": ["x"],
        "seed": 3,
    }


async def test_images_and_files_reach_the_agent(tmp_path: Path) -> None:
    runtime = Scripted()
    content: Any = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.txt", "file_data": "aGk="}},
    ]
    async with connected(tmp_path, runtime=runtime) as to:
        await to.ask("", messages=[{"role": "user", "content": content}])
        many: Any = [{"role": "user", "content": [content[1]] * 9}]
        with pytest.raises(openai.BadRequestError, match="8 images"):
            await to.ask("", messages=many)
    (request,) = runtime.seen
    assert request.text == "look"
    assert request.parts == (
        {"type": "text", "text": "look"},
        {"type": "image", "data": PIXEL, "format": "png", "detail": "auto"},
        {"type": "image", "url": "https://example.com/a.png", "detail": "low"},
        {"type": "file", "data": "aGk=", "filename": "a.txt", "mime_type": "text/plain"},
    )


async def test_a_tool_of_the_caller(tmp_path: Path) -> None:
    async with connected(tmp_path) as to:
        asked: Any = [{"role": "user", "content": "/sim client_tool=weather\nRome"}]
        first = await to.openai.chat.completions.create(
            model="portico", messages=asked, tools=[WEATHER]
        )
        (choice,) = first.choices
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None
        assert choice.message.tool_calls is not None
        (call,) = choice.message.tool_calls
        assert call.type == "function"
        assert (call.function.name, call.function.arguments) == ("weather", '{"text":"Rome"}')
        result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
        followed = [*asked, choice.message.model_dump(exclude_none=True), result]
        assert await to.ask("", messages=followed, tools=[WEATHER]) == "Echo: sunny"


async def test_tools_and_their_results_reach_the_agent(tmp_path: Path) -> None:
    runtime = Scripted()
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages: Any = [
        {"role": "user", "content": "Rome?"},
        {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "c2", "content": "windy"},
    ]
    async with connected(tmp_path, runtime=runtime) as to:
        await to.ask("", messages=messages, tools=[WEATHER], tool_choice="auto")
    (request,) = runtime.seen
    assert request.text == "sunny\nwindy"
    assert request.parts == (
        {"type": "toolResult", "id": "c1", "text": "sunny"},
        {"type": "toolResult", "id": "c2", "text": "windy"},
    )
    wanted: Any = [
        {"type": "toolCall", "id": name, "name": "weather", "arguments": {}}
        for name in ("c1", "c2")
    ]
    assert request.prior[1] == HistoryMessage("assistant", wanted)
    assert request.extensions["openai.tools"] == [WEATHER["function"]]
    assert request.extensions["openai.tool_choice"] == "auto"


async def test_tool_calls_are_streamed_in_pieces(tmp_path: Path) -> None:
    arguments = {"text": "x" * 600}
    runtime = Scripted(
        TextDelta("Let me see. "),
        ToolCallRequested("c1", "weather", arguments),
        ToolCallRequested("c2", "time", {}),
        Final(stop_reason="toolUse"),
    )
    async with (
        connected(tmp_path, runtime=runtime) as to,
        to.openai.chat.completions.stream(model="portico", messages=HELLO) as stream,
    ):
        async for _ in stream:
            pass
        whole = await stream.get_final_completion()
    (choice,) = whole.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me see. "
    assert choice.message.tool_calls is not None
    first, second = choice.message.tool_calls
    assert (first.id, first.function.name) == ("c1", "weather")
    assert first.function.arguments == '{"text":"' + "x" * 600 + '"}'
    assert (second.id, second.function.name, second.function.arguments) == ("c2", "time", "{}")


async def test_thoughts_and_tools_are_shown_to_those_who_ask(tmp_path: Path) -> None:
    runtime = Scripted(
        ThinkingDelta("Hm."),
        ToolStarted("t1", "exec", {"command": "ls /a"}),
        ToolFinished("t1", "exec", "ok"),
        Final("done"),
    )

    async def chunks(style: str) -> list[Any]:
        stream = await to.openai.chat.completions.create(
            model="portico",
            messages=HELLO,
            stream=True,
            extra_headers={"x-portico-progress": style},
        )
        return [chunk async for chunk in stream]

    async with connected(tmp_path, runtime=runtime) as to:
        plain, lines, tools = await chunks(""), await chunks("reasoning"), await chunks("tools")
    assert reasoning(plain) == "Hm."
    assert reasoning(lines) == "Hm.Inspecting the workspace: exec (ls /a)\n"
    assert reasoning(tools) == "Hm."
    shown = [c.model_extra["portico_tool"] for c in tools if "portico_tool" in c.model_extra]
    assert shown == [
        {"id": "t1", "name": "exec", "status": "running", "detail": "ls /a"},
        {"id": "t1", "name": "exec", "status": "completed"},
    ]


def reasoning(chunks: list[Any]) -> str:
    deltas = [c.choices[0].delta.model_extra for c in chunks if c.choices]
    return "".join(delta.get("reasoning_content", "") for delta in deltas)


async def test_usage_is_that_of_the_models(tmp_path: Path) -> None:
    spent = Usage(input=100, output=20, cache_read=50)
    runtime = Scripted(ModelUsed(spent), ModelUsed(spent), Final("x", stop_reason="length"))
    async with connected(tmp_path, runtime=runtime) as to:
        answer = await to.openai.chat.completions.create(model="portico", messages=HELLO)
    assert answer.choices[0].finish_reason == "length"
    usage = answer.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (300, 40, 340)
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 100


# -- sessions ------------------------------------------------------------------------------------


async def session_keys(to: Connected) -> set[str]:
    rows = await to.house.gateway.ground.store.read(_keys)
    return {row["key"] for row in rows}


def _keys() -> Any:
    from sqlalchemy import select

    from portico.sessions.tables import sessions
    from portico.store import statement

    return (yield statement(select(sessions.c.key))())


async def test_each_request_is_a_session_of_its_own(tmp_path: Path) -> None:
    async with connected(tmp_path) as to:
        await to.ask("one")
        await to.ask("two")
        found = await session_keys(to)
    assert len(found) == 2
    assert all(key.startswith("agent:main:openai:") for key in found)


async def test_a_user_has_one_session(tmp_path: Path) -> None:
    async with connected(tmp_path) as to:
        await to.ask("one", user="alice")
        await to.ask("two", user="alice")
        await to.ask("three", user="Alice")
        await to.ask("four", user="agent:x")
        found = await session_keys(to)
    assert found == {
        "agent:main:openai-user:alice",
        "agent:main:openai-user:%41lice",
        "agent:main:openai-user:agent:x",
    }


@pytest.mark.parametrize("name", ["x-openclaw-session-key", "x-portico-session-key"])
async def test_a_session_can_be_named(tmp_path: Path, name: str) -> None:
    async with connected(tmp_path) as to:
        for key in ("agent:main:http1", "short"):
            await to.ask("one", extra_headers={name: key})
        assert await session_keys(to) == {"agent:main:http1", "agent:main:short"}
        reserved = ("subagent:x", "cron:x", "agent:main:acp:x", "global", "agent::", "agent:no:x")
        for key in reserved:
            with pytest.raises(openai.BadRequestError):
                await to.ask("one", extra_headers={name: key})


# -- agents --------------------------------------------------------------------------------------

TWO = {"list": [{"id": "main", "default": True}, {"id": "ops"}]}


async def test_agents_by_model_name(tmp_path: Path) -> None:
    async with connected(tmp_path, agents=TWO) as to:
        for model in ("portico", "openclaw", "portico/default", "portico/main", "agent:main"):
            await to.ask("x", model=model, user="m")
        for model in ("portico:ops", "portico/ops", "openclaw/ops", "openclaw:OPS", "agent:ops"):
            await to.ask("x", model=model, user="o")
        await to.ask("x", model="gpt-4o", user="h", extra_headers={"x-openclaw-agent-id": "ops"})
        await to.ask("x", user="h", extra_headers={"x-portico-agent": "main"})
        found = await session_keys(to)
        for model in ("gpt-4o", "portico/nobody", "agent:", "openclaw/", "portico!"):
            with pytest.raises(openai.NotFoundError) as refused:
                await to.ask("x", model=model)
            assert refused.value.code == "model_not_found"
            assert refused.value.param == "model"
        wrong = {"x-openclaw-agent-id": "ops", "x-openclaw-session-key": "agent:main:x"}
        with pytest.raises(openai.BadRequestError, match="belongs to agent"):
            await to.ask("x", extra_headers=wrong)
        with pytest.raises(openai.BadRequestError, match="unknown agent"):
            await to.ask("x", extra_headers={"x-openclaw-agent-id": "nobody"})
    assert found == {
        "agent:main:openai-user:m",
        "agent:ops:openai-user:o",
        "agent:ops:openai-user:h",
        "agent:main:openai-user:h",
    }


async def test_another_model_for_one_request(tmp_path: Path) -> None:
    runtime = Scripted()
    async with connected(tmp_path, runtime=runtime) as to:
        await to.ask("x", extra_headers={"x-openclaw-model": "a/b"}, reasoning_effort="high")
    assert (runtime.seen[0].model, runtime.seen[0].thinking) == ("a/b", "high")


# -- refusals ------------------------------------------------------------------------------------


async def test_a_credential_is_needed(tmp_path: Path) -> None:
    async with connected(tmp_path, key="wrong") as to:
        with pytest.raises(openai.AuthenticationError) as refused:
            await to.ask("x")
        with pytest.raises(openai.AuthenticationError):
            await to.openai.models.list()
    assert refused.value.body == {
        "message": "Unauthorized",
        "type": "unauthorized",
        "param": None,
        "code": "invalid_api_key",
    }


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        ({}, "Missing user message in `messages`.", "messages"),
        ({"messages": []}, "Missing user message in `messages`.", "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "Missing user message", "messages"),
        ({"messages": [{"role": "user", "content": " "}]}, "Missing user message", "messages"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "role is not", "messages[0].role"),
        ({"messages": "x"}, "Expected `array", "messages"),
        ({"messages": HELLO, "temperature": 3}, "Expected `float` <= 2", "temperature"),
        ({"messages": HELLO, "n": 2}, "`n` must be 1", "n"),
        ({"messages": HELLO, "stop": ["a"] * 5}, "length <= 4", "stop"),
        ({"messages": HELLO, "tools": [{"type": "code"}]}, "not supported", "tools"),
        ({"messages": HELLO, "user": "a\nb"}, "printable", "user"),
        (
            {"messages": [{"role": "user", "content": [{"type": "x"}]}]},
            "unsupported content part type",
            "messages[0].content[0]",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": "data:image/png;base64,!"}}
                        ],
                    }
                ]
            },
            "not base64",
            "messages[0].content[0]",
        ),
    ],
)
async def test_requests_that_cannot_be_understood(
    tmp_path: Path, body: dict[str, Any], message: str, param: str
) -> None:
    async with connected(tmp_path) as to:
        answer = await to.house.client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert message in error["message"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


async def test_other_refusals(tmp_path: Path) -> None:
    async with connected(tmp_path) as to:
        client = to.house.client
        broken = await client.post("/v1/chat/completions", content=b"{bad")
        assert (broken.status_code, broken.json()["error"]["type"]) == (
            400,
            "invalid_request_error",
        )
        got = await client.get("/v1/chat/completions")
        assert (got.status_code, got.headers["allow"]) == (405, "POST")
        large = await client.post("/v1/chat/completions", content=b"x" * (20 * 2**20 + 1))
        assert large.status_code == 413
        assert set(large.json()["error"]) == {"message", "type", "param", "code"}


async def test_nothing_is_there_unless_enabled(tmp_path: Path) -> None:
    off: Any = {"http": {"endpoints": {"responses": {"enabled": True}}}}
    async with connected(tmp_path, gateway=off) as to:
        with pytest.raises(openai.NotFoundError):
            await to.ask("x")
        assert (await to.openai.models.list()).data
    async with connected(tmp_path / "none", gateway={"http": {}}) as to:
        for path in ("/v1/models", "/v1/responses", "/v1/embeddings"):
            assert (await to.house.client.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("rate_limit", 429, "rate_limit_exceeded"),
        ("context_length", 400, "context_length_exceeded"),
        ("timeout", 504, "timeout"),
        ("unknown", 500, "internal_error"),
    ],
)
async def test_a_failing_agent(tmp_path: Path, kind: str, status: int, code: str) -> None:
    runtime = Scripted(TextDelta("so "), Failed("It broke.", kind))  # type: ignore[arg-type]
    async with connected(tmp_path, runtime=runtime) as to:
        patient = to.openai.with_options(max_retries=2)
        with pytest.raises(openai.APIStatusError) as refused:
            await patient.chat.completions.create(model="portico", messages=HELLO)
        assert refused.value.status_code == status
        assert refused.value.code == code
        assert refused.value.body["message"] == "It broke."  # type: ignore[index]
        assert len(runtime.seen) == 1, "an agent that may have acted is not asked again"
        stream = await to.openai.chat.completions.create(
            model="portico", messages=HELLO, stream=True
        )
        with pytest.raises(openai.APIError, match=r"It broke\."):
            async for _ in stream:
                pass


async def test_a_full_lane_is_429(tmp_path: Path) -> None:
    runtime = Scripted(held=True)
    queue = {"queue": {"cap": 1}}
    async with connected(tmp_path, runtime=runtime, messages=queue) as to:
        tasks = to.house.gateway.ground.tasks
        first = tasks.start(to.ask("1", user="u"), name="first")
        await eventually(lambda: runtime.running == 1)
        second = tasks.start(to.ask("2", user="u"), name="second")
        await eventually(lambda: _waiting(to))
        with pytest.raises(openai.RateLimitError) as refused:
            await to.ask("3", user="u")
        assert refused.value.code == "rate_limit_exceeded"
        assert int(refused.value.response.headers["retry-after"]) >= 1
        runtime.go.set()
        assert [await first, await second] == ["done", "done"]


async def _waiting(to: Connected) -> bool:
    return len(await to.house.gateway.path.turns.open_in_lane("agent:main:openai-user:u")) == 2


# -- leaving -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_that_leaves_takes_its_run_along(tmp_path: Path, stream: bool) -> None:
    runtime = Scripted(held=True)
    async with connected(tmp_path, runtime=runtime) as to:
        body = {"model": "portico", "messages": HELLO, "stream": stream, "user": "u"}
        await _leave(to, body, runtime)
        await eventually(lambda: runtime.running == 0)
        await eventually(lambda: _is_empty(to))


async def test_a_request_with_a_key_survives_its_caller(tmp_path: Path) -> None:
    runtime = Scripted(held=True)
    async with connected(tmp_path, runtime=runtime) as to:
        body = {"model": "portico", "messages": HELLO}
        await _leave(to, body, runtime, **{"idempotency-key": "k1"})
        same = to.house.gateway.ground.tasks.start(
            to.ask("hello", extra_headers={"Idempotency-Key": "k1"}), name="same"
        )
        runtime.go.set()
        assert await same == "done"
        assert len(runtime.seen) == 1
        with pytest.raises(openai.ConflictError):
            await to.ask("another", extra_headers={"Idempotency-Key": "k1"})


async def _leave(to: Connected, body: Any, runtime: Scripted, **headers: str) -> None:
    """Ask, wait until the agent is at work, and close the connection."""
    allowed = {"authorization": f"Bearer {TOKEN}", **headers}
    async with httpx2.AsyncClient(base_url=to.url, headers=allowed, timeout=30) as client:
        asking = to.house.gateway.ground.tasks.start(
            client.post("/v1/chat/completions", json=body), name="asking"
        )
        await eventually(lambda: runtime.running == 1)
        asking.cancel()
        await asyncio.wait([asking])


async def _is_empty(to: Connected) -> bool:
    return not await to.house.gateway.path.turns.open_in_lane("agent:main:openai-user:u")
