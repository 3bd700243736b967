"""A provider that breaks off, at every kind of place, and one that ends without having answered.

Each ends in a stated result: the whole answer where the provider had said that it is whole, else a
failure with a sentence. An empty success is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from portico.agents.model import asking
from portico.agents.model.settings import AgentModel
from portico.agents.runtime import AgentEvent, Failed, Final, ModelUsed, StopReason
from portico.agents.tools.contract import Tool
from tests.fakes import streams
from tests.fakes.provider import FakeProvider, Say, Wire
from tests.fakes.streams import APIS, Framing, chat, chat_chunk, event, framed, messages, responses
from tests.support.thinking import answer, model_runtime, provider_spec, text_of, turn_of

CAFE, REST = "café", " is open"
DONE = b"data: [DONE]\n\n"


async def asked(*wires: Wire, api: str = "openai-completions") -> list[list[AgentEvent]]:
    """What one runtime makes of each answer, turn by turn."""
    current = list(wires)
    async with FakeProvider(lambda _request: current[0]) as provider:
        spec = replace(provider_spec(provider), api=api, timeout_s=10)  # type: ignore[arg-type]  # from a table
        runtime = model_runtime(spec)
        found = []
        while current:
            found.append(events := await answer(runtime, turn_of()))
            assert [e for e in events if isinstance(e, Final | Failed)] == events[-1:]
            current.pop(0)
        await runtime.close()
    return found


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ATTEMPTS_ALONE", 1)


def places(parts: Sequence[bytes], framing: Framing) -> dict[str, int]:
    """Where an answer can break: a number of bytes for each kind of place."""
    whole, ends = framed(parts, framing)
    cafe = next(number for number, part in enumerate(parts) if "é".encode() in part)
    last = next(n for n, part in reversed([*enumerate(parts)]) if _is_last_word(part))
    begins = whole.index(b"\r\n\r\n") + 4
    return {
        "before the headers": 0,
        "in the headers": begins // 2,
        "after the headers": begins,
        "in the first event": (begins + ends[0]) // 2,
        "in a character": whole.index("é".encode()) + 1,
        "after the first text": ends[cafe],
        "in the second text": (ends[cafe] + ends[cafe + 1]) // 2,
        "before the last word": ends[last - 1],
        "in the last word": (ends[last - 1] + ends[last]) // 2,
        "after the last word": ends[last],
    }


def _is_last_word(part: bytes) -> bool:
    return any(
        word in part for word in (b'"finish_reason": "', b"response.completed", b'"end_turn"')
    )


FRAMINGS: list[tuple[Framing, bool]] = [
    ("chunked", False),
    ("chunked", True),
    ("length", False),
    ("close", False),
]
PLACES = list(places(chat(CAFE, REST), "close"))
SHOWN = {
    "after the first text": CAFE,
    "in the second text": CAFE,
    "before the last word": CAFE + REST,
    "in the last word": CAFE + REST,
}


@pytest.mark.usefixtures("once")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("api", APIS)
async def test_breaking_off(api: str, place: str) -> None:
    parts = APIS[api](CAFE, REST)
    wires = [
        Wire(framed(parts, framing)[0][: places(parts, framing)[place]], reset)
        for framing, reset in FRAMINGS
    ]
    for events, how in zip(await asked(*wires, api=api), FRAMINGS, strict=True):
        end, text = events[-1], text_of(events)
        if place == "after the last word":
            assert (end, text) == (Final(), CAFE + REST), how
            continue
        assert isinstance(end, Failed), how
        assert end.kind == "unknown"
        assert text == SHOWN.get(place, ""), how
        assert ("broke off" in end.message) == bool(text)


EMPTY = "gave an empty answer"
CUT = "stopped before it was done"
CALLED_NOTHING = {"tool_calls": [{"index": 0, "id": "t", "function": {"arguments": "{}"}}]}

# The answer, the sentence; it is asked again unless it cannot help.
NO_ANSWERS: dict[str, tuple[str, list[bytes], str]] = {
    "says nothing": ("openai-completions", chat(), EMPTY),
    "says an empty text": ("openai-completions", chat(""), EMPTY),
    "says blanks": ("openai-completions", chat(" ", "\n"), EMPTY),
    "only thinks": ("openai-completions", chat(reasoning_content="hm"), EMPTY),
    "never stops thinking": ("openai-completions", chat("<think>", "hm"), EMPTY),
    "calls no tool": ("openai-completions", chat(finish="tool_calls"), EMPTY),
    "calls a nameless tool": (
        "openai-completions",
        chat(finish="tool_calls", **CALLED_NOTHING),
        EMPTY,
    ),
    "ends for an unknown reason": ("openai-completions", chat(finish="eos_token"), EMPTY),
    "is at its limit": ("openai-completions", chat(finish="length"), "used up its longest answer"),
    "says that it failed": ("openai-completions", chat(finish="error"), CUT),
    "sends no choices": ("openai-completions", [chat_chunk({}, choices=[]), DONE], "not available"),
    "sends null for choices": (
        "openai-completions",
        [chat_chunk({}, choices=None), DONE],
        "not available",
    ),
    "sends null for a delta": ("openai-completions", [chat_chunk(None, "stop"), DONE], CUT),
    "gives no reason": ("openai-completions", chat(finish=None), "could not be understood"),
    "sends an error": ("openai-completions", [event({"error": {"message": "x"}})], "not available"),
    "sends nothing but null": ("openai-completions", [b"data: null\n\n", DONE], "understood"),
    "sends nothing but a comment": ("openai-completions", [b": hello\n\n"], "understood"),
    "completes with nothing": ("openai-responses", responses(), EMPTY),
    "fails without a reason": ("openai-responses", responses(status="failed"), CUT),
    "was cancelled": ("openai-responses", responses(status="cancelled"), CUT),
    "is incomplete": ("openai-responses", responses(status="incomplete"), CUT),
    "ran out of tokens": (
        "openai-responses",
        responses(status="incomplete", reason="max_output_tokens"),
        "used up its longest answer",
    ),
    "ends its turn at once": ("anthropic-messages", messages(), EMPTY),
    "says tool use without one": ("anthropic-messages", messages(stop="tool_use"), EMPTY),
    "pauses": ("anthropic-messages", messages(stop="pause_turn"), CUT),
    "names no stop reason": ("anthropic-messages", messages(stop=None), CUT),
    "reaches its limit": (
        "anthropic-messages",
        messages(stop="max_tokens"),
        "used up its longest answer",
    ),
}


@pytest.mark.parametrize("case", NO_ANSWERS)
async def test_a_model_that(case: str) -> None:
    api, parts, sentence = NO_ANSWERS[case]
    (events,) = await asked(Wire(framed(parts)[0]), api=api)
    end = events[-1]
    assert isinstance(end, Failed)
    assert sentence in end.message
    assert "broke off" not in end.message
    paid = [e for e in events if isinstance(e, ModelUsed)]
    assert len(paid) == {EMPTY: 3, "used up its longest answer": 1}.get(sentence, 0)


# After some text the failure says so, and a reason of the provider's own is a reason.
WITH_TEXT: dict[str, tuple[str, list[bytes], StopReason | None]] = {
    "says that it failed": ("openai-completions", chat(CAFE, finish="error"), None),
    "fails": ("openai-responses", responses(CAFE, status="failed"), None),
    "was cancelled": ("openai-responses", responses(CAFE, status="cancelled"), None),
    "pauses": ("anthropic-messages", messages(CAFE, stop="pause_turn"), None),
    "ends for a reason of its own": ("openai-completions", chat(CAFE, finish="eos_token"), "stop"),
    "has a new stop reason": ("anthropic-messages", messages(CAFE, stop="new_reason"), "stop"),
    "says tool calls without one": (
        "openai-completions",
        chat(CAFE, finish="tool_calls"),
        "stop",
    ),
    "is cut at its limit": ("openai-completions", chat(CAFE, finish="length"), "length"),
}


@pytest.mark.parametrize("case", WITH_TEXT)
async def test_after_some_text_a_model_that(case: str) -> None:
    api, parts, stop = WITH_TEXT[case]
    (events,) = await asked(Wire(framed(parts)[0]), api=api)
    assert text_of(events) == CAFE
    if stop is not None:
        assert events[-1] == Final(stop_reason=stop)
        return
    assert isinstance(events[-1], Failed)
    assert "broke off" in events[-1].message


async def test_an_empty_answer_is_asked_for_again_and_a_fallback_may_give_one() -> None:
    async with FakeProvider() as first, FakeProvider() as second:
        settings = AgentModel("one/m", fallbacks=("two/m",))
        runtime = model_runtime(
            provider_spec(first, "one"), provider_spec(second, "two"), settings=settings
        )
        first.plan(Say(""), Say("Here I am"))
        assert text_of(await answer(runtime, turn_of())) == "Here I am"
        first.plan(Say(""), Say(""))
        second.plan(Say("I am second"))
        assert text_of(await answer(runtime, turn_of())) == "I am second"
        await runtime.close()


async def test_after_a_tool_a_model_may_have_nothing_to_say() -> None:
    async def done(_call: object, _given: object) -> str:
        return "sent"

    async with FakeProvider() as provider:
        tool = Tool(name="send", description="Sends.", run=done)
        runtime = model_runtime(provider_spec(provider), tools=(tool,))
        provider.plan(Say(calls=(("send", "{}"),)), Say(""))
        events = await answer(runtime, turn_of())
        assert events[-1] == Final()
        assert len(provider.requests) == 2
        provider.plan(Say(calls=(("send", "{}"),)), Wire(framed(streams.chat(finish=None))[0]))
        provider.default = lambda _request: Wire(framed(streams.chat(finish=None))[0])
        assert isinstance((await answer(runtime, turn_of()))[-1], Failed)
        await runtime.close()
