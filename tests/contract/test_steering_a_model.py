"""Messages sent into a running turn of a model agent, through the whole conversation side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from portico.agents.service import Roster
from portico.agents.tools.contract import Tool, ToolCall
from tests.fakes.provider import FakeProvider, Say
from tests.support.house import House, open_house
from tests.support.thinking import model_runtime, provider_spec
from tests.support.waiting import eventually

MAIN = "agent:main:main"
LOOKING = Say("Let me look.", calls=(("look", "{}"),))


class Look:
    """A tool that takes as long as the test likes."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self.tool = Tool(name="look", description="Looks.", run=self._run)

    async def _run(self, _call: ToolCall, _given: Mapping[str, Any]) -> str:
        self.began.set()
        await self.may_end.wait()
        return "a grey cat"


@asynccontextmanager
async def thinking_house(
    folder: Path, provider: FakeProvider, *tools: Tool
) -> AsyncIterator[House]:
    async with open_house(folder) as rooms:
        runtime = model_runtime(provider_spec(provider), tools=tools)
        agent = replace(rooms.agents.get("main"), runtime=runtime)
        rooms.agents.replace(Roster((agent,), "main"))
        yield rooms
        await runtime.close()


async def send(rooms: House, text: str, run_id: str, mode: str = "steer") -> None:
    params = {"sessionKey": MAIN, "message": text, "idempotencyKey": run_id, "queueMode": mode}
    await rooms.call("chat.send", params)


async def ended(rooms: House, run_id: str) -> Any:
    return await asyncio.wait_for(rooms.turns.wait(run_id, 30), 30)


def told(request: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(m["role"], m.get("content")) for m in request["messages"] if m["role"] != "system"]


async def transcript(rooms: House) -> list[tuple[str, str]]:
    shown = await rooms.call("chat.history", {"sessionKey": MAIN})
    said = [(m["role"], text_in(m["content"])) for m in shown["messages"]]
    return [(role, text) for role, text in said if text]


def text_in(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


async def test_what_is_sent_while_a_tool_runs_is_taken_after_it(tmp_path: Path) -> None:
    look = Look()
    async with (
        FakeProvider() as provider,
        thinking_house(tmp_path, provider, look.tool) as rooms,
    ):
        provider.plan(LOOKING, Say("A grey cat, and it is noon."))
        await send(rooms, "What is there?", "one")
        await asyncio.wait_for(look.began.wait(), 30)
        await send(rooms, "And what time is it?", "two")
        await send(rooms, "Be brief.", "three")
        look.may_end.set()
        rows = [await ended(rooms, run_id) for run_id in ("one", "two", "three")]
        assert {row.run_id for row in rows} == {"one"}  # all three are answered by it
        assert told(provider.requests[1])[1:] == [
            ("assistant", "Let me look."),
            ("tool", "a grey cat"),
            ("user", "And what time is it?"),
            ("user", "Be brief."),
        ]
        assert len(provider.requests) == 2
        assert await transcript(rooms) == [
            ("user", "What is there?"),
            ("user", "And what time is it?"),
            ("user", "Be brief."),
            ("toolResult", "a grey cat"),
            ("assistant", "Let me look.\n\nA grey cat, and it is noon."),
        ]


async def test_what_is_sent_during_the_last_answer_is_the_next_turn(tmp_path: Path) -> None:
    async with FakeProvider() as provider, thinking_house(tmp_path, provider) as rooms:
        provider.plan(Say("one two three", pause_s=0.1), Say("Noon."))
        await send(rooms, "Count.", "one")
        await eventually(lambda: provider.requests)
        await send(rooms, "What time is it?", "two")
        first, second = await ended(rooms, "one"), await ended(rooms, "two")
        assert (first.run_id, second.run_id) == ("one", "two")
        assert (first.result.text, second.result.text) == ("one two three", "Noon.")
        assert told(provider.requests[1])[-1] == ("user", "What time is it?")
