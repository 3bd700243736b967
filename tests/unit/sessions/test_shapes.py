from __future__ import annotations

from typing import Any

import msgspec

from portico.agents.echo import EchoRuntime
from portico.agents.service import Agent, Agents
from portico.sessions import shapes
from portico.sessions.model import Entry, Session

AGENTS = Agents([Agent("main", EchoRuntime(), model="acme/large")], "main")


def session(key: str = "agent:main:w1", **changes: Any) -> Session:
    plain: dict[str, Any] = dict.fromkeys(Session.__struct_fields__)
    numbers = dict.fromkeys(
        [
            "last_seq",
            "message_count",
            "input_tokens",
            "output_tokens",
            "context_tokens",
            "cost_usd",
            "created_at",
            "session_started_at",
            "updated_at",
        ],
        0,
    )
    fixed = {
        "key": key,
        "session_id": "s1",
        "agent_id": "main",
        "channel": "webchat",
        "chat_type": "direct",
        "created_via": "operator",
        "settings": {},
        "archived": False,
        "pinned": False,
        "unread": False,
        "revision": "r1",
    }
    return Session(**{**plain, **numbers, **fixed, **changes})


def shown(one: Session, **how: Any) -> dict[str, Any]:
    return msgspec.to_builtins(shapes.row(one, AGENTS, main_key="main", now=5, **how))


def entry(role: str, content: Any, **changes: Any) -> Entry:
    base: dict[str, Any] = {
        "entry_id": "e1", "session_id": "s1", "seq": 3, "run_id": None, "meta": {},
        "created_at": 7,
    }  # fmt: skip
    return Entry(role=role, content=content, **{**base, **changes})


def test_a_row_leaves_out_what_has_no_value():
    row = shown(session())
    assert "label" not in row
    assert "status" not in row
    assert row["updatedAt"] == 0
    assert (row["modelProvider"], row["model"]) == ("acme", "large")


def test_a_flattened_row_says_null_instead():
    flat = shapes.flattened(shapes.row(session(), AGENTS, main_key="main", now=5))
    assert flat["label"] is None
    assert "key" not in flat
    assert "snapshotAt" not in flat


def test_a_running_session_names_its_run():
    running = session(last_run_state="running", last_run_id="k1")
    assert shown(running)["activeRunIds"] == ("k1",)
    assert shown(session(last_run_state="timed_out"))["status"] == "timeout"
    assert shown(session(last_run_state="interrupted"))["status"] == "failed"
    ended = session(last_run_started_at=10, last_run_ended_at=25)
    assert shown(ended)["runtimeMs"] == 15


def test_a_title_is_the_name_or_the_first_message():
    assert "derivedTitle" not in shown(session())
    assert shown(session(), title="hello")["derivedTitle"] == "hello"
    assert shown(session(label="L"), title="hello")["derivedTitle"] == "L"
    assert "derivedTitle" not in shown(session(), title="")


def test_keys_are_classified():
    kinds = {
        "agent:main:main": "main",
        "agent:main:telegram:group:1": "group",
        "agent:main:telegram:direct:1": "direct",
        "agent:main:slack:channel:1:thread:2": "thread",
        "agent:main:cron:daily": "cron",
        "agent:main:w1": "custom",
        "global": "custom",
    }
    assert {key: shapes.classification(key, "main") for key in kinds} == kinds
    assert shown(session("agent:main:cron:daily"))["isBackground"] is True
    assert shown(session("global"))["kind"] == "global"
    assert shown(session("agent:main:main"))["isMain"] is True


def test_messages_carry_their_place():
    said = shapes.message(entry("user", "hi", meta={"key": "k", "receivedAt": 4}, run_id="k"))
    assert said == {
        "role": "user",
        "content": "hi",
        "timestamp": 4,
        "idempotencyKey": "k:user",
        "__openclaw": {
            "id": "e1",
            "seq": 3,
            "recordTimestampMs": 7,
            "idempotencyKey": "k:user",
            "runId": "k",
        },
    }


def test_tool_results_name_their_call():
    meta = {"toolCallId": "c1", "toolName": "t", "isError": False}
    said = shapes.message(entry("toolResult", [{"type": "text", "text": "{}"}], meta=meta))
    assert (said["toolCallId"], said["toolName"], said["isError"]) == ("c1", "t", False)


def test_long_texts_are_cut_and_marked():
    parts = [{"type": "text", "text": "x" * 9}, {"type": "image"}]
    said = shapes.message(entry("assistant", parts), max_chars=4)
    assert said["content"] == [{"type": "text", "text": "xxxx…"}, {"type": "image"}]
    assert said["__openclaw"]["truncated"] is True
    whole = shapes.message(entry("assistant", parts), max_chars=9)
    assert "truncated" not in whole["__openclaw"]
    assert shapes.omitted(entry("user", "x" * 99))["content"][0]["text"] == shapes.OMITTED


def test_one_line_joins_and_cuts():
    assert shapes.one_line([{"type": "text", "text": " a\n b "}], 9) == "a b"
    assert shapes.one_line("abcdef", 4) == "abc…"
