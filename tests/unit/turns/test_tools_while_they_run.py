"""What a tool says while it runs, as those who follow the run see it."""

from __future__ import annotations

from typing import Any

from portico.agents.runtime import ToolFinished, ToolStarted
from portico.ids import ConnId
from portico.store import Store
from portico.turns import publish
from tests.support.path import Path
from tests.support.waiting import eventually


def tools(path: Path) -> list[dict[str, Any]]:
    return [
        frame["payload"]["data"]
        for frame in path.events.frames
        if frame["event"] == "agent" and frame["payload"]["stream"] == "tool"
    ]


def said(path: Path) -> list[str]:
    updates = [data for data in tools(path) if data["phase"] == "update"]
    return [data["partialResult"]["content"][0]["text"] for data in updates]


async def test_it_is_shown_until_the_result(sqlite_store: Store) -> None:
    async with Path(sqlite_store) as path:
        recorder = path.hub.find(ConnId("rec"))
        assert recorder is not None
        recorder.tool_events = True
        await path.say("r1", "hello")
        turn = await path.begun("r1")
        turn.say("t", "too early")
        path.puppet.tell("r1", ToolStarted("t", "nodes", {}, side_effects=False))
        await eventually(lambda: bool(tools(path)))
        for piece in ("a", "b", "c"):
            turn.say("t", piece)
        assert said(path) == ["a"]  # the first at once
        await eventually(lambda: said(path) == ["a", "abc"])  # the rest bundled
        turn.say("t", "x" * publish.MAX_TOOL_CHARS)
        await eventually(lambda: said(path)[-1] == "x" * publish.MAX_TOOL_CHARS)
        turn.say("t", "perhaps not shown any more")
        path.puppet.tell("r1", ToolFinished("t", "nodes", "result"))
        path.puppet.finish("r1")
        await path.ended("r1")
        turn.say("t", "too late")
        phases = [data["phase"] for data in tools(path)]
        assert phases == ["start", *["update"] * (len(phases) - 2), "result"]
        assert {(data["toolCallId"], data["name"]) for data in tools(path)} == {("t", "nodes")}
        assert all(len(text) <= publish.MAX_TOOL_CHARS for text in said(path))
