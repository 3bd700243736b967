"""From steps to events: the order and the exact fields."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from portico.agents.runtime import (
    Progress,
    TextDelta,
    ThinkingDelta,
    ToolFinished,
    ToolStarted,
    TurnRequest,
    Usage,
)
from portico.channels.model import Peer, ReplyRoute
from portico.turns.feed import Ended, Started, Step
from portico.turns.life import TurnState
from portico.turns.model import TurnResult, TurnRow
from portico.web.messages.stream import RunEvents, encode_event, parse_event_id
from tests.fakes.clock import FakeClock


def row(state: TurnState = TurnState.RUNNING, **result: Any) -> TurnRow:
    return TurnRow(
        run_id="r1",
        session_key="agent:main:http:dm:ann",
        session_id="s",
        agent_id="main",
        position=1,
        state=state,
        queue_mode="followup",
        fingerprint="f",
        request=TurnRequest(text="hi"),
        reply_route=ReplyRoute("http", "default", Peer("direct", "ann")),
        owner=None,
        fence=1,
        attempts=1,
        unsafe=False,
        cancel_reason=None,
        merged_into=None,
        result=TurnResult(**result),
        lease_until=None,
        queued_at=0,
        started_at=1_000,
        ended_at=None,
    )


def translate(*steps: Step, after_text: bool = False) -> list[dict[str, Any]]:
    events = RunEvents(
        session_id="http:dm:ann",
        request_id="r1",
        clock=FakeClock(),
        progress_after_text=after_text,
    )
    found = [event for step in steps for event in events.translate(step)]
    return [
        {k: v for k, v in msgspec.to_builtins(event).items() if not k.endswith("_id")}
        for event in found
    ]


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


DONE = Ended(row(TurnState.SUCCEEDED, text="Hi!", usage=Usage(3, 2, context=3)))
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "last_prompt_tokens": 3}


def test_success_has_exactly_these_events() -> None:
    events = translate(Started(row()), TextDelta("H"), TextDelta("i!"), DONE)
    assert types(events) == [
        "run.started",
        "run.progress",
        "message.delta",
        "message.delta",
        "message.completed",
        "run.completed",
    ]
    assert events[1]["stage"] == "preparing"
    assert events[1]["summary"] == "Preparing request"
    assert events[4] == {"type": "message.completed", "reply": "Hi!", "usage": USAGE}
    assert events[5] == {"type": "run.completed", "usage": USAGE}


def test_failure_ends_with_run_error_alone() -> None:
    failed = Ended(row(TurnState.FAILED, error="It broke."))
    events = translate(Started(row()), failed)
    assert types(events) == ["run.started", "run.progress", "run.error"]
    assert events[-1]["error"] == {"type": "internal_error", "message": "It broke."}


def test_a_cancelled_run_ends_without_a_reply() -> None:
    events = translate(Started(row()), TextDelta("H"), Ended(row(TurnState.CANCELLED, text="H")))
    assert events[-1] == {"type": "run.canceled"}


def test_thoughts_are_streamed_and_completed_once() -> None:
    events = translate(
        Started(row()), ThinkingDelta("so "), ThinkingDelta("it is"), TextDelta("Hi!"), DONE
    )
    assert types(events)[2:6] == [
        "thought.delta",
        "thought.delta",
        "thought.completed",
        "message.delta",
    ]
    assert events[4]["reply"] == "so it is"
    assert types(events).count("thought.completed") == 1


def test_progress_follows_tools_and_then_the_answer() -> None:
    tool = ToolStarted("t1", "read_document", {"path": "/a/b/c/d.pdf", "token": "secret-1234"})
    events = translate(Started(row()), tool, ToolFinished("t1", "read_document", {}), DONE)
    running, after = events[2], events[3]
    assert running["stage"] == "reading_document"
    assert (running["tool_status"], running["tool_name"]) == ("running", "read_document")
    assert running["tool_detail"] == "…/c/d.pdf"
    assert (after["stage"], after["tool_status"]) == ("summarizing", "completed")


def test_identical_progress_is_said_once() -> None:
    same = Progress("running_tool", "Looking")
    assert types(translate(Started(row()), same, same, same)).count("run.progress") == 2


def test_progress_stops_at_the_first_text_unless_asked_for() -> None:
    steps = (Started(row()), TextDelta("H"), Progress("running_tool", "Looking"), DONE)
    assert types(translate(*steps)).count("run.progress") == 1
    assert types(translate(*steps, after_text=True)).count("run.progress") == 2


def test_an_empty_answer_becomes_the_fallback_sentence() -> None:
    events = translate(Started(row()), Ended(row(TurnState.SUCCEEDED)))
    assert events[-2] == {
        "type": "message.completed",
        "reply": "I didn't produce a visible reply. Please try again.",
    }


def test_usage_without_numbers_is_left_out_and_zeros_are_written() -> None:
    only_prompt = Ended(row(TurnState.SUCCEEDED, text="x", usage=Usage(3)))
    usage = translate(Started(row()), only_prompt)[-1]["usage"]
    assert usage["completion_tokens"] == 0
    assert "usage" not in translate(Started(row()), Ended(row(TurnState.SUCCEEDED)))[-1]


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("3.1", (3, 1)),
        ("", (0, 0)),
        ("x", (0, 0)),
        ("3", (0, 0)),
        ("-1.2", (0, 0)),
        ("²3.1", (0, 0)),
    ],
)
def test_event_ids(text: str, position: tuple[int, int]) -> None:
    assert parse_event_id(text) == position


def test_an_event_in_the_sse_format() -> None:
    events = RunEvents(session_id="s", request_id="r", clock=FakeClock(), progress_after_text=False)
    assert encode_event((0, 1), events.queued(2)) == (
        b"event: run.queued\n"
        b'data: {"type":"run.queued","session_id":"s","request_id":"r","position":2}\n'
        b"id: 0.1\n\n"
    )
