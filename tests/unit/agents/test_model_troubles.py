"""What a provider may do to us: a stated result each, nothing hangs, the next turn works."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portico.agents.model.catalog import ModelSpec, Price
from portico.agents.model.cooldown import Cooldowns
from portico.agents.model.settings import AgentModel
from portico.agents.runtime import (
    Failed,
    Final,
    ModelAnswering,
    ModelUsed,
    Progress,
    TextDelta,
)
from tests.fakes.provider import FakeProvider, Raw, Refuse, Reply, Reset, Say, Stall, sse
from tests.support.clock import FakeClock
from tests.support.thinking import (
    SILENCE_S,
    answer,
    model_runtime,
    provider_spec,
    text_of,
    turn_of,
)
from tests.support.waiting import eventually

DONE = (sse("", finish="stop"), b"data: [DONE]\n\n")
OVERFLOW = '{"error": {"message": "too long", "code": "context_length_exceeded"}}'
HTML = Raw((b"<html>bad gateway</html>",), content_type="text/html")
CAFE = sse("café")
CUT_IN_E = CAFE.index("é".encode()) + 1

# The plan, how many calls it takes, the text that is shown, how it ends.
CASES: dict[str, tuple[list[Reply], int, str, Final | tuple[str, str]]] = {
    "says it": ([Say("All is well")], 1, "All is well", Final()),
    "is cut at its limit": ([Say("All is", finish="length")], 1, "All is", Final(None, "length")),
    "rate limits once": ([Refuse(429), Say("ok")], 2, "ok", Final()),
    "rate limits always": ([Refuse(429)] * 3, 3, "", ("rate_limit", "busy")),
    "asks to wait too long": (
        [Refuse(429, retry_after="600")],
        1,
        "",
        ("rate_limit", "Try again in 600 s"),
    ),
    "is out of credit": ([Refuse(402)], 1, "", ("rate_limit", "run out of credit")),
    "fails twice": ([Refuse(500), Refuse(503), Say("ok")], 3, "ok", Final()),
    "fails always": ([Refuse(502)] * 3, 3, "", ("unknown", "is not available now")),
    "stalls before it begins": ([Stall(mute=True)] * 3, 3, "", ("timeout", "said nothing for")),
    "stalls before the text": ([Stall(), Say("ok")], 2, "ok", Final()),
    "stalls in the text": ([Stall("Good day")], 1, "Good day", ("timeout", "broke off")),
    "resets before the text": ([Reset(), Say("ok")], 2, "ok", Final()),
    "resets in the text": ([Reset("Good day")], 1, "Good day", ("unknown", "broke off")),
    "closes without an answer": ([Raw(())] * 3, 3, "", ("unknown", "could not be understood")),
    "closes in the text": ([Raw((sse("Good"),))], 1, "Good", ("unknown", "broke off")),
    "is cut in the framing": ([Raw((sse("Good"),), cut=True)], 1, "Good", ("unknown", "broke off")),
    "sends no JSON": ([Raw((b"data: {no\n\n",)), Say("ok")], 2, "ok", Final()),
    "sends no JSON later": (
        [Raw((sse("Good"), b"data: {no\n\n"))],
        1,
        "Good",
        ("unknown", "broke off"),
    ),
    "splits a character": ([Raw((CAFE[:CUT_IN_E], CAFE[CUT_IN_E:], *DONE))], 1, "café", Final()),
    "sends half a character": ([Raw((b'data: {"id":"\xc3"}\n\n',)), Say("ok")], 2, "ok", Final()),
    "sends a page": ([HTML, Say("ok")], 2, "ok", Final()),
    "refuses the key": ([Refuse(401)], 1, "", ("unknown", "credentials")),
    "does not know the model": ([Refuse(404)], 1, "", ("unknown", "does not know the model")),
    "refuses the request": ([Refuse(400)], 1, "", ("refusal", "refused this request")),
    "finds it too long": ([Refuse(400, OVERFLOW)], 1, "", ("context_length", "too long")),
    "declines": ([Say("", finish="content_filter")], 1, "", ("refusal", "declined")),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_provider_that(case: str) -> None:
    plan, calls, shown, end = CASES[case]
    silence_s = SILENCE_S if any(isinstance(reply, Stall) for reply in plan) else 10.0
    async with FakeProvider() as provider:
        runtime = model_runtime(provider_spec(provider, silence_s=silence_s))
        provider.plan(*plan)
        events = await answer(runtime, turn_of())
        assert len(provider.requests) == calls
        assert text_of(events) == shown
        ends = [event for event in events if isinstance(event, Final | Failed)]
        assert ends == events[-1:]
        if isinstance(end, Final):
            assert events[-1] == end
        else:
            assert isinstance(events[-1], Failed)
            assert events[-1].kind == end[0]
            assert end[1] in events[-1].message
            assert "planned" not in events[-1].message  # what the provider wrote stays in the log
        again = await answer(runtime, turn_of("and now?"))
        assert text_of(again) == "Hello from the model."
        await runtime.close()


async def test_retry_after_is_obeyed() -> None:
    async with FakeProvider() as provider:
        runtime = model_runtime(provider_spec(provider))
        provider.plan(Refuse(429, retry_after="1"), Say("ok"))
        loop = asyncio.get_running_loop()
        began = loop.time()
        events = await answer(runtime, turn_of())
        assert loop.time() - began >= 1
        assert [e.stage for e in events if isinstance(e, Progress)] == ["retrying"]
        await runtime.close()


async def test_nobody_listens() -> None:
    async with FakeProvider() as provider:
        spec = provider_spec(provider)
    runtime = model_runtime(spec)
    events = await answer(runtime, turn_of())
    assert isinstance(events[-1], Failed)
    assert "could not be reached" in events[-1].message
    await runtime.close()


async def test_a_fallback_answers_and_the_primary_rests() -> None:
    clock = FakeClock()
    async with FakeProvider() as first, FakeProvider() as second:
        settings = AgentModel("one/m", fallbacks=("two/m",))
        specs = provider_spec(first, "one"), provider_spec(second, "two")
        runtime = model_runtime(*specs, settings=settings, clock=clock)
        first.plan(Refuse(503), Refuse(503))
        second.plan(Say("I am second"), Say("again"))
        events = await answer(runtime, turn_of())
        assert text_of(events) == "I am second"
        used = [e for e in events if isinstance(e, ModelUsed)]
        assert [(e.provider, e.model) for e in used] == [("two", "m")]
        assert "fallback" in [e.stage for e in events if isinstance(e, Progress)]
        assert text_of(await answer(runtime, turn_of())) == "again"  # one still rests
        assert len(first.requests) == 2
        clock.advance(31)
        assert text_of(await answer(runtime, turn_of())) == "Hello from the model."
        assert len(first.requests) == 3
        assert first.headers[0]["authorization"] == "Bearer key-of-one"
        assert second.headers[0]["authorization"] == "Bearer key-of-two"
        await runtime.close()


def test_rests_grow_and_are_forgotten() -> None:
    clock = FakeClock()
    rests = Cooldowns(clock)
    choice: Any = type("C", (), {"name": "a/b"})()
    for rest_s in (30, 60, 120, 240, 300, 300):
        rests.failed(choice)
        clock.advance(rest_s - 1)
        assert rests.rests(choice)
        clock.advance(2)
        assert not rests.rests(choice)
    rests.failed(choice, retry_after_s=1000)
    clock.advance(999)
    assert rests.rests(choice)
    rests.succeeded(choice)
    assert not rests.rests(choice)


async def test_a_reader_that_goes_away_closes_the_call() -> None:
    async with FakeProvider() as provider:
        priced = ModelSpec("m", price=Price(input=1, output=10))
        runtime = model_runtime(provider_spec(provider, "fake", priced))
        provider.plan(Stall("Good day"))
        stream = runtime.run(turn_of())
        call = await anext(stream)
        assert isinstance(call, ModelAnswering)
        assert await anext(stream) == TextDelta("Good")
        used = call.so_far(len("Good"))  # it is cut off: nobody else will say
        assert (used.input >= 4, used.output) == (True, 1)
        assert used.cost_usd == pytest.approx((used.input * 1 + used.output * 10) / 1e6)
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
        await eventually(lambda: provider.abandoned == 1)
        await runtime.close()


async def test_a_cancelled_turn_closes_the_call() -> None:
    async with FakeProvider() as provider:
        runtime = model_runtime(provider_spec(provider))
        provider.plan(Stall(mute=True))
        answering = asyncio.ensure_future(answer(runtime, turn_of()))
        await eventually(lambda: provider.requests)
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        await eventually(lambda: provider.abandoned == 1)
        assert text_of(await answer(runtime, turn_of())) == "Hello from the model."
        await runtime.close()
