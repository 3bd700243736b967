"""The Responses API, asked by the official SDK."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import openai
import pytest

from portico.agents.runtime import Failed, Final, HistoryMessage, TextDelta
from tests.contract.openai.sdk import connected
from tests.support.http import Scripted

pytestmark = pytest.mark.anyio

TOOL: Any = {"type": "function", "name": "weather", "parameters": {}, "strict": False}


async def test_a_response(tmp_path: Path) -> None:
    async with connected(tmp_path) as to:
        answer = await to.openai.responses.create(
            model="portico", input="hello", metadata={"a": "b"}, instructions="Be brief."
        )
    assert answer.id.startswith("resp_")
    assert (answer.status, answer.object, answer.model) == ("completed", "response", "portico")
    assert answer.output_text == "Echo: hello"
    (item,) = answer.output
    assert item.type == "message"
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (1, 2)
    assert (answer.metadata, answer.instructions) == ({"a": "b"}, "Be brief.")


async def test_a_stream_of_events(tmp_path: Path) -> None:
    async with connected(tmp_path) as to:
        stream = await to.openai.responses.create(model="portico", input="hello", stream=True)
        events = [event async for event in stream]
    assert [event.sequence_number for event in events] == [*range(len(events))]
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert set(kinds[4:-4]) == {"response.output_text.delta"}
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == "Echo: hello"
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == text
    assert last.response.usage is not None


async def test_the_sdk_puts_a_stream_together(tmp_path: Path) -> None:
    asked = "/sim client_tool=weather\nRome"
    async with (
        connected(tmp_path) as to,
        to.openai.responses.stream(model="portico", input=asked, tools=[TOOL]) as stream,
    ):
        async for _ in stream:
            pass
        whole = await stream.get_final_response()
    (call,) = whole.output
    assert call.type == "function_call"
    assert (call.name, call.arguments) == ("weather", '{"text":"Rome"}')


async def test_a_response_goes_on_from_the_one_before(tmp_path: Path) -> None:
    async with connected(tmp_path) as to:
        first = await to.openai.responses.create(
            model="portico", input="/sim client_tool=weather\nRome", tools=[TOOL]
        )
        (call,) = first.output
        assert call.type == "function_call"
        second = await to.openai.responses.create(
            model="portico",
            previous_response_id=first.id,
            input=[{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}],
        )
        assert second.output_text == "Echo: sunny"
        assert second.previous_response_id == first.id
        rows = [await to.house.gateway.path.turns.find(id_) for id_ in (first.id, second.id)]
        assert rows[0]
        assert rows[1]
        assert rows[0].session_key == rows[1].session_key
        entries = await to.house.gateway.ground.store.read(_transcript, rows[0].session_id or "")
    assert [entry.role for entry in entries] == ["user", "assistant", "user", "assistant"]
    assert entries[1].content == [
        {"type": "toolCall", "id": "call_1", "name": "weather", "arguments": {"text": "Rome"}}
    ]
    assert entries[2].content == [{"type": "toolResult", "id": "call_1", "text": "sunny"}]


def _transcript(session_id: str) -> Any:
    from portico.sessions import transcript

    return (yield from transcript.history(session_id, limit=10))


async def test_an_unknown_previous_response(tmp_path: Path) -> None:
    two = {"list": [{"id": "main", "default": True}, {"id": "ops"}]}
    async with connected(tmp_path, agents=two) as to:
        for name in ("resp_none", "chatcmpl_x"):
            with pytest.raises(openai.BadRequestError) as refused:
                await to.openai.responses.create(
                    model="portico", input="x", previous_response_id=name
                )
            assert refused.value.code == "previous_response_not_found"
        first = await to.openai.responses.create(model="portico", input="x")
        with pytest.raises(openai.BadRequestError, match="is of agent"):
            await to.openai.responses.create(
                model="portico/ops", input="x", previous_response_id=first.id
            )


async def test_items_reach_the_agent(tmp_path: Path) -> None:
    runtime = Scripted()
    png = base64.b64encode(b"png").decode()
    items: Any = [
        {"role": "developer", "content": "In French."},
        {"role": "user", "content": "I am Ann."},
        {"type": "reasoning", "id": "r", "summary": []},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hi.", "annotations": []}],
        },
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{png}"},
                {
                    "type": "input_file",
                    "filename": "a.txt",
                    "file_data": "data:text/plain;base64,aGk=",
                },
            ],
        },
    ]
    async with connected(tmp_path, runtime=runtime) as to:
        await to.openai.responses.create(
            model="portico",
            input=items,
            instructions="Be brief.",
            max_output_tokens=5,
            reasoning={"effort": "low"},
        )
    (request,) = runtime.seen
    assert request.system_prompt == "Be brief.\n\nIn French."
    assert request.prior == (
        HistoryMessage("user", "I am Ann."),
        HistoryMessage("assistant", "Hi."),
    )
    assert request.parts == (
        {"type": "text", "text": "Look"},
        {"type": "image", "data": png, "format": "png", "detail": "auto"},
        {"type": "file", "data": "aGk=", "filename": "a.txt", "mime_type": "text/plain"},
    )
    assert request.extensions["openai.sampling"] == {"max_tokens": 5}
    assert request.thinking == "low"


async def test_an_answer_that_was_cut(tmp_path: Path) -> None:
    runtime = Scripted(TextDelta("so"), Final(stop_reason="length"))
    async with connected(tmp_path, runtime=runtime) as to:
        whole = await to.openai.responses.create(model="portico", input="x")
        stream = await to.openai.responses.create(model="portico", input="x", stream=True)
        last = [event async for event in stream][-1]
    assert whole.status == "incomplete"
    assert whole.incomplete_details is not None
    assert whole.incomplete_details.reason == "max_output_tokens"
    assert last.type == "response.incomplete"


async def test_a_failing_agent(tmp_path: Path) -> None:
    runtime = Scripted(TextDelta("so"), Failed("It broke."))
    async with connected(tmp_path, runtime=runtime) as to:
        with pytest.raises(openai.InternalServerError, match="It broke"):
            await to.openai.responses.create(model="portico", input="x")
        stream = await to.openai.responses.create(model="portico", input="x", stream=True)
        last = [event async for event in stream][-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.error.message == "It broke."


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input": []}, "Missing user message"),
        ({"input": "x", "background": True}, "`background` is not supported"),
        ({"input": "x", "conversation": "c"}, "`conversation` is not supported"),
        ({"input": "x", "tools": [{"type": "web_search"}]}, "not supported"),
        ({"input": [{"type": "computer_call"}]}, "unsupported item type"),
        (
            {
                "input": [
                    {
                        "role": "user",
                        "content": [{"type": "input_file", "file_url": "http://127.0.0.1/x"}],
                    }
                ]
            },
            "not public",
        ),
    ],
)
async def test_requests_that_cannot_be_served(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    async with connected(tmp_path) as to:
        body = {"model": "portico", **fields}
        answer = await to.house.client.post("/v1/responses", json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
