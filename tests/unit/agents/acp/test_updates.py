from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.agents.acp.updates import MAX_DEPTH, MAX_KEPT_CHARS, MAX_TOOLS, Updates
from portico.agents.runtime import (
    AgentEvent,
    Progress,
    TextDelta,
    ThinkingDelta,
    ToolFinished,
    ToolStarted,
)


def told(*updates: dict[str, Any]) -> list[AgentEvent]:
    taking = Updates()
    return [event for update in updates for event in taking.events(update)]


def call(**fields: Any) -> dict[str, Any]:
    return {"sessionUpdate": "tool_call", "toolCallId": "c", **fields}


def text(words: str) -> dict[str, Any]:
    return {"type": "content", "content": {"type": "text", "text": words}}


NAMES = ["sessionUpdate", "toolCallId", "status", "kind", "title", "content", "type", "text"]
NAMES += ["rawInput", "rawOutput", "entries", "resource", "uri", "path"]
KINDS = ["agent_message_chunk", "agent_thought_chunk", "tool_call", "tool_call_update", "plan"]
WORDS = [*KINDS, "c", "completed", "failed", "text", "resource", "image", "diff", "terminal"]
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(WORDS) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=4,
)
updates = st.fixed_dictionaries(
    {"sessionUpdate": st.sampled_from(KINDS) | values, "toolCallId": st.sampled_from("cde")},
    optional=dict.fromkeys(NAMES[2:], values),
)


@given(st.lists(updates, max_size=5))
def test_any_json_is_taken_and_tools_begin_and_end_once(sent: list[dict[str, Any]]) -> None:
    started: list[str] = []
    finished: list[str] = []
    for event in told(*sent):
        msgspec.json.encode(event)
        if isinstance(event, ToolStarted):
            started.append(event.call_id)
        if isinstance(event, ToolFinished):
            assert event.call_id in started
            finished.append(event.call_id)
    assert len(set(started)) == len(started)
    assert len(set(finished)) == len(finished)


def test_what_is_said_and_thought() -> None:
    said = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "Hello"}}
    thought = {"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": "Hm"}}
    assert told(said, thought) == [TextDelta("Hello"), ThinkingDelta("Hm")]


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        ({"type": "resource_link", "uri": "file:///a", "name": "a"}, "[a](file:///a)"),
        ({"type": "resource", "resource": {"uri": "x:", "text": "inside"}}, "inside"),
        ({"type": "resource", "resource": {"uri": "x:", "blob": "AA=="}}, "[x:]"),
        ({"type": "image", "mimeType": "image/png", "data": "AA=="}, "[image: image/png]"),
    ],
)
def test_what_is_not_text_is_named(block: dict[str, Any], shown: str) -> None:
    assert told({"sessionUpdate": "agent_message_chunk", "content": block}) == [TextDelta(shown)]


def test_a_tool_is_started_and_finished() -> None:
    assert told(
        call(title="Run\ntests", kind="execute", rawInput={"command": "make"}),
        call(sessionUpdate="tool_call_update", status="in_progress"),
        call(sessionUpdate="tool_call_update", status="completed", content=[text("4 passed")]),
        call(sessionUpdate="tool_call_update", status="completed"),
    ) == [
        ToolStarted("c", "Run tests", {"command": "make"}, side_effects=True),
        ToolFinished("c", "Run tests", "4 passed", is_error=False, is_untrusted=False),
    ]


@pytest.mark.parametrize(
    ("kind", "side_effects", "is_untrusted"),
    [
        ("read", False, False),
        ("search", False, False),
        ("edit", True, False),
        ("fetch", True, True),
        ("something new", True, False),
        (None, True, True),
    ],
)
def test_kinds_say_what_a_tool_may_do(
    kind: str | None, side_effects: bool, is_untrusted: bool
) -> None:
    started, finished = told(call(kind=kind), call(status="failed", rawOutput={"code": 1}))
    assert isinstance(started, ToolStarted)
    assert isinstance(finished, ToolFinished)
    assert started.side_effects is side_effects
    assert (finished.is_untrusted, finished.is_error) == (is_untrusted, True)
    assert finished.result == {"code": 1}


def test_an_announced_call_begins_with_what_is_said_of_it_next() -> None:
    announced = call(status="pending", kind="execute", title="bash", rawInput={"cwd": "/"})
    assert told(announced) == []
    events = told(
        announced,
        call(sessionUpdate="tool_call_update", title="ls", rawInput={"command": "ls", "cwd": "/"}),
        call(sessionUpdate="tool_call_update", title="ls", rawInput={"command": "later"}),
    )
    assert events == [ToolStarted("c", "bash", {"command": "ls", "cwd": "/"}, side_effects=True)]


def test_a_call_that_is_under_way_or_asked_about_has_begun() -> None:
    begun = ToolStarted("c", "Bash", {"a": 1}, side_effects=True)
    given = {"title": "Run it", "name": "Bash", "kind": "execute", "rawInput": {"a": 1}}
    assert told(call(status="in_progress", **given)) == [begun]
    updates = Updates()
    assert list(updates.asked(call(status="pending", **given))) == [begun]
    assert list(updates.events(call(status="pending", **given))) == []


def test_a_kind_that_changes_does_not_make_a_call_harmless() -> None:
    started, finished = told(
        call(kind="fetch"), call(kind="read"), call(status="completed", rawOutput="page")
    )
    assert isinstance(started, ToolStarted)
    assert isinstance(finished, ToolFinished)
    assert started.side_effects is True
    assert finished.is_untrusted is True


def test_what_a_tool_changed_is_named() -> None:
    diff = {"type": "diff", "path": "/a.py", "oldText": "", "newText": "x"}
    _, finished = told(call(kind="edit"), call(status="completed", content=[diff]))
    assert isinstance(finished, ToolFinished)
    assert finished.result == "changed /a.py"


def test_what_is_too_large_or_too_deep_is_not_kept_whole() -> None:
    deep: Any = "x"
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    large = {"a": "x" * (MAX_KEPT_CHARS + 1)}
    for given_ in (deep, large):
        started, finished = told(call(rawInput=given_), call(status="completed", rawOutput=given_))
        assert isinstance(started, ToolStarted)
        assert isinstance(finished, ToolFinished)
        assert list(started.arguments) == ["input"]
        assert len(started.arguments["input"]) <= MAX_KEPT_CHARS
        assert isinstance(finished.result, str)


def test_the_number_of_tools_is_bounded() -> None:
    many = (call(toolCallId=str(number), status="in_progress") for number in range(MAX_TOOLS + 10))
    events = told(*many)
    assert len(events) == MAX_TOOLS


def test_a_plan_is_progress() -> None:
    entries = [
        {"content": "look", "status": "completed"},
        {"content": "build", "status": "in_progress"},
        {"content": "test", "status": "pending"},
    ]
    plan = {"sessionUpdate": "plan", "entries": entries}
    assert told(plan, {"sessionUpdate": "plan", "entries": []}) == [
        Progress("plan", "1 of 3 steps done: build")
    ]
