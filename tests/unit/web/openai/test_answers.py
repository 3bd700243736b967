"""What a run looks like to a caller of the OpenAI-compatible API, where a socket is in the way."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portico.agents.runtime import TextDelta, TurnRequest
from portico.channels.model import Peer, ReplyRoute
from portico.turns.feed import Ended, Step
from portico.turns.life import TurnState
from portico.turns.model import TurnResult, TurnRow
from portico.web.openai.chat import ChatAnswer, unsaid
from portico.web.openai.responses import ResponseAnswer
from portico.web.openai.responses_model import ResponseObject
from tests.support.http import house, settings

pytestmark = pytest.mark.anyio


def ended(text: str) -> Ended:
    row = TurnRow(
        run_id="chatcmpl_1",
        session_key="agent:main:x",
        session_id="s",
        agent_id="main",
        position=1,
        state=TurnState.SUCCEEDED,
        queue_mode="followup",
        fingerprint="",
        request=TurnRequest(text="hi"),
        reply_route=ReplyRoute("openai", "default", Peer("direct", "x")),
        owner=None,
        fence=1,
        attempts=1,
        unsafe=False,
        cancel_reason=None,
        merged_into=None,
        result=TurnResult(text=text),
        lease_until=None,
        queued_at=0,
        started_at=1,
        ended_at=2,
    )
    return Ended(row)


async def steps(*given: tuple[int, Step | None]) -> AsyncGenerator[tuple[int, Step | None], None]:
    for one in given:
        yield one


async def streamed(answer: Any, *given: tuple[int, Step | None]) -> list[Any]:
    blocks = b"".join([event async for event in answer.events(steps(*given))]).decode()
    lines = [line for line in blocks.splitlines() if line.startswith(("data: ", ":"))]
    found: list[Any] = [
        line if line[0] == ":" or line == "data: [DONE]" else msgspec.json.decode(line[6:])
        for line in lines
    ]
    return found


def chat() -> ChatAnswer:
    return ChatAnswer("chatcmpl_1", created_s=1, model="portico")


def response() -> ResponseAnswer:
    return ResponseAnswer(
        ResponseObject(id="resp_1", created_at=1, status="in_progress", model="portico")
    )


@pytest.mark.parametrize(
    ("said", "answer", "lost", "rest"),
    [
        ("", "all", False, "all"),
        ("al", "all", True, "l"),
        ("all", "all", False, ""),
        ("thinking… all", "all", False, ""),
        ("ac", "abc", True, None),
        ("", None, False, ""),
    ],
)
def test_what_is_left_to_say(said: str, answer: str | None, lost: bool, rest: str | None) -> None:
    assert unsaid(said, answer, lost=lost) == rest


async def test_a_hole_in_a_stream_is_not_hidden() -> None:
    missed = ((1, TextDelta("a")), (3, TextDelta("c")), (4, ended("abc")))
    found = await streamed(chat(), *missed)
    assert found[-2]["error"]["code"] == "stream_lost"
    assert found[-1] == "data: [DONE]"
    last = (await streamed(response(), *missed))[-2]
    assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", "stream_lost")


async def test_silence_is_broken_by_comments() -> None:
    for answer in (chat(), response()):
        found = await streamed(answer, (0, None), (1, ended("x")))
        assert ": keep-alive" in found


async def test_a_run_of_another_process_is_answered_at_its_end() -> None:
    found = await streamed(chat(), (2, ended("all of it")))
    assert found[1]["choices"][0]["delta"] == {"content": "all of it"}
    found = await streamed(response(), (2, ended("all of it")))
    assert found[-2]["response"]["output"][0]["content"][0]["text"] == "all of it"


async def test_scopes_are_those_asked_for_where_nobody_proves_anything(tmp_path: Path) -> None:
    doors = {"endpoints": {"chatCompletions": {"enabled": True}}}
    config = settings({"auth": {"mode": "none"}, "http": doors})
    body = {"model": "portico", "messages": [{"role": "user", "content": "x"}]}
    path = "/v1/chat/completions"
    async with house(tmp_path, config, headers={}) as inside:
        ask = inside.client.post
        assert (await ask(path, json=body)).status_code == 200
        for scopes, status in (("operator.read", 403), ("operator.read, operator.write", 200)):
            answer = await ask(path, json=body, headers={"x-openclaw-scopes": scopes})
            assert answer.status_code == status, answer.text
        writer = {"x-openclaw-scopes": "operator.write", "x-openclaw-model": "a/b"}
        refused = await ask(path, json=body, headers=writer)
        assert refused.status_code == 403
        assert refused.json()["error"]["message"] == "missing scope: operator.admin"
