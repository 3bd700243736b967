"""The http runtime: what it posts, and every shape of answer."""

from __future__ import annotations

import pytest

from portico.agents.http import HttpRuntime
from portico.agents.runtime import AgentEvent, Failed, Final, HistoryMessage, TextDelta
from tests.fakes.provider import FakeProvider, Raw, Refuse, Reply, Reset, Stall
from tests.support.thinking import answer, turn_of

HISTORY = (HistoryMessage("user", "one"), HistoryMessage("assistant", "two"))


def whole(body: str, content_type: str = "application/json") -> Raw:
    return Raw((body.encode(),), content_type=content_type)


ANSWERS: dict[str, tuple[Reply, list[AgentEvent]]] = {
    "reply": (whole('{"ok": true, "reply": "hi"}'), [Final("hi")]),
    "content": (whole('{"content": "hi"}'), [Final("hi")]),
    "message": (whole('{"message": {"content": "hi"}}'), [Final("hi")]),
    "choices": (whole('{"choices": [{"message": {"content": "hi"}}]}'), [Final("hi")]),
    "text": (whole("hi", "text/plain"), [Final("hi")]),
    "nothing": (whole("", "text/plain"), [Final("")]),
    "an empty reply": (whole('{"ok": true, "reply": ""}'), [Final("")]),
    "events": (
        whole(
            'data: {"choices": [{"delta": {"content": "h"}}]}\n\ndata: {"text": "i"}\n\n'
            "data: [DONE]\n\n",
            "text/event-stream",
        ),
        [TextDelta("h"), TextDelta("i"), Final()],
    ),
    "LangGraph events": (
        whole('data: [{"type": "AIMessageChunk", "content": "hi"}, {}]\n\n', "text/event-stream"),
        [TextDelta("hi"), Final()],
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_an_answer_as(case: str) -> None:
    reply, expected = ANSWERS[case]
    async with FakeProvider() as service:
        runtime = HttpRuntime(f"{service.url}/turn", token="t0k", silence_s=30)
        service.plan(reply)
        turn = turn_of("three", entries=HISTORY, extensions={"customerId": "ck_1"})
        assert await answer(runtime, turn) == expected
        (sent,) = service.requests
        assert [(m["role"], m["content"]) for m in sent["messages"]] == [
            ("user", "one"),
            ("assistant", "two"),
            ("user", "three"),
        ]
        assert sent["metadata"]["customerId"] == "ck_1"
        assert sent["metadata"]["sessionKey"] == "agent:main:main"
        assert service.headers[0]["authorization"] == "Bearer t0k"
        await runtime.close()


FAILURES: dict[str, tuple[Reply, str]] = {
    "refuses": (Refuse(403), "unknown"),
    "is busy": (Refuse(429), "rate_limit"),
    "is down": (Refuse(503), "unknown"),
    "says it failed": (whole('{"ok": false, "error": "SQL: secret"}'), "unknown"),
    "sends no JSON": (whole("{no"), "unknown"),
    "stalls": (Stall(mute=True), "timeout"),
    "resets": (Reset(), "unknown"),
    "is cut": (Raw((b'data: {"text": "h"}\n\n',), cut=True), "unknown"),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_a_service_that(case: str) -> None:
    reply, kind = FAILURES[case]
    async with FakeProvider() as service:
        runtime = HttpRuntime(service.url, silence_s=0.3 if kind == "timeout" else 30)
        service.plan(reply)
        events = await answer(runtime, turn_of())
        assert isinstance(events[-1], Failed)
        assert events[-1].kind == kind
        assert "secret" not in events[-1].message
        await runtime.close()


async def test_nobody_listens() -> None:
    async with FakeProvider() as service:
        url = service.url
    runtime = HttpRuntime(url)
    events = await answer(runtime, turn_of())
    assert isinstance(events[-1], Failed)
    await runtime.close()
