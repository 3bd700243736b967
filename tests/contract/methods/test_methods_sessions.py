"""sessions.*, as an operator sees them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.house import House, principal
from tests.support.waiting import eventually

KEY = "agent:main:w1"
HANG = "/sim hang=1\nx"
LIST = {"includeDerivedTitles": True, "includeLastMessage": True, "archived": "all"}


async def listed(house: House, **params) -> list[str]:
    page = await house.call("sessions.list", params)
    return [row["key"].removeprefix("agent:main:") for row in page["sessions"]]


async def next_millisecond(house: House) -> None:
    now = house.clock.now_ms()
    await eventually(lambda: house.clock.now_ms() > now)


async def test_create_describe_and_list(house: House):
    created = await house.call("sessions.create", {"key": "w1", "label": "First"})
    assert (created["key"], created["runStarted"]) == (KEY, False)
    assert created["entry"]["sessionId"] == created["sessionId"]
    assert created["resolved"] == {"modelProvider": "portico", "model": "echo"}
    again = await house.call("sessions.create", {"key": "w1"})
    assert again["sessionId"] == created["sessionId"]
    row = (await house.call("sessions.describe", {"key": "w1"}))["session"]
    assert (row["key"], row["kind"], row["label"]) == (KEY, "direct", "First")
    assert (row["hasActiveRun"], row["activeRunIds"]) == (False, [])
    page = await house.call("sessions.list", {})
    assert (page["count"], page["totalCount"], page["hasMore"]) == (1, 1, False)
    assert page["limitApplied"] == 100
    assert page["path"] == "/somewhere/portico.sqlite"
    assert (await house.call("sessions.describe", {"key": "nope"}))["session"] is None


async def test_readers_see_no_paths(house: House):
    page = await house.call("sessions.list", {}, by=principal("operator.read"))
    assert page["path"] == "[redacted]"


async def test_create_with_a_message_starts_a_run(house: House):
    params = {"message": "hello", "idempotencyKey": "k1"}
    created = await house.call("sessions.create", params)
    assert created["key"].startswith("agent:main:dashboard:")
    assert (created["runStarted"], created["runId"], created["messageSeq"]) == (True, "k1", 1)
    assert await house.call("sessions.create", params) == created
    assert (await house.call("agent.wait", {"runId": "k1"}))["status"] == "ok"


async def test_create_refuses_what_it_cannot_keep(house: House):
    refused = await house.refusal("sessions.create", {"key": "w1", "incognito": True})
    assert "incognito" in refused["message"]
    writer = principal("operator.write")
    params = {"key": "w1", "permissionMode": "full"}
    assert (await house.refusal("sessions.create", params, by=writer))["code"] == "FORBIDDEN"
    assert await listed(house) == []


async def test_list_filters_pages_and_sorts(house: House):
    for name in ("a", "b", "c", "cron:daily", "d:subagent:x"):
        await house.call("sessions.create", {"key": name})
        await next_millisecond(house)
    await house.call("sessions.patch", {"key": "b", "label": "50% Off_er", "pinned": True})
    await next_millisecond(house)
    await house.call("sessions.patch", {"key": "c", "archived": True, "category": "Work"})
    assert await listed(house) == ["b", "d:subagent:x", "cron:daily", "a"]
    assert await listed(house, archived=True) == ["c"]
    assert (await listed(house, archived="all"))[0] == "c"
    assert await listed(house, limit=1, offset=1) == ["d:subagent:x"]
    assert await listed(house, search="OFF_") == ["b"]
    assert await listed(house, search="0% o") == ["b"]
    assert await listed(house, search="%") == ["b"]
    assert await listed(house, label="50% Off_er") == ["b"]
    assert await listed(house, pinned=True) == ["b"]
    assert await listed(house, group="Work", archived="all") == ["c"]
    assert await listed(house, excludeCron=True) == ["b", "d:subagent:x", "a"]
    assert await listed(house, agentId="other") == []
    assert await listed(house, ownerId="me") == []
    assert await listed(house, activeMinutes=5, configuredAgentsOnly=True, limit=1) == ["b"]
    page = await house.call("sessions.list", {"limit": 2})
    assert (page["totalCount"], page["nextOffset"], page["hasMore"]) == (4, 2, True)
    last = await house.call("sessions.list", {"limit": 2, "offset": 2})
    assert (last["nextOffset"], last["hasMore"]) == (None, False)


async def test_sentinel_sessions_are_listed_only_when_asked_for(house: House):
    await house.call("sessions.create", {"key": "global"})
    await house.call("sessions.create", {"key": "w1"})
    page = await house.call("sessions.list", {})
    assert (page["totalCount"], [row["key"] for row in page["sessions"]]) == (1, [KEY])
    page = await house.call("sessions.list", {"includeGlobal": True})
    assert page["totalCount"] == 2


async def test_titles_and_previews_come_when_asked_for(house: House):
    await house.say("w1", "what is\nthe time", "k1")
    plain = (await house.call("sessions.list", {}))["sessions"][0]
    assert "derivedTitle" not in plain
    assert "lastMessagePreview" not in plain
    rich = (await house.call("sessions.list", LIST))["sessions"][0]
    assert rich["derivedTitle"] == "what is the time"
    assert rich["lastMessagePreview"] == "Echo: what is the time"
    assert (rich["status"], rich["lastRunId"], rich["unread"]) == ("done", "k1", True)


async def test_preview_says_what_it_found(house: House):
    await house.say("w1", "x" * 100, "k1")
    await house.call("sessions.create", {"key": "w2"})
    asked = {"keys": ["w1", "w2", "w3", "agent:"], "maxChars": 20}
    found = (await house.call("sessions.preview", asked))["previews"]
    assert [(p["key"], p["status"]) for p in found] == [
        ("w1", "ok"),
        ("w2", "empty"),
        ("w3", "missing"),
        ("agent:", "error"),
    ]
    assert [item["role"] for item in found[0]["items"]] == ["user", "assistant"]
    assert found[0]["items"][0]["text"] == "x" * 19 + "…"


async def test_resolve_by_every_handle(house: House):
    created = await house.call("sessions.create", {"key": "w1", "label": "One"})
    found = {"ok": True, "key": KEY, "agentId": "main", "displayName": "One"}
    session_id = created["sessionId"]
    for handle in (
        {"key": "w1"},
        {"sessionId": session_id},
        {"label": "One"},
        {"shortId": session_id[:8]},
        {"reference": {"key": KEY}},
    ):
        assert await house.call("sessions.resolve", handle) == found
    assert (await house.refusal("sessions.resolve", {"key": "no"}))["message"] == (
        "No session found: no"
    )
    assert await house.call("sessions.resolve", {"key": "no", "allowMissing": True}) == {
        "ok": False
    }
    assert (await house.refusal("sessions.resolve", {}))["code"] == "INVALID_REQUEST"


async def test_patch_sets_and_clears(house: House):
    await house.call("sessions.create", {"key": "w1"})
    answer = await house.call(
        "sessions.patch",
        {"key": "w1", "label": "L", "icon": "🦊", "model": "acme/big", "thinkingLevel": "low"},
    )
    assert answer["entry"]["label"] == "L"
    assert answer["resolved"]["modelProvider"] == "acme"
    assert answer["resolved"]["thinkingLevel"] == "low"
    row = (await house.call("sessions.describe", {"key": "w1"}))["session"]
    assert (row["icon"], row["model"], row["modelOverrideSource"]) == ("🦊", "big", "user")
    await house.call("sessions.patch", {"key": "w1", "icon": None, "model": None, "label": None})
    row = (await house.call("sessions.describe", {"key": "w1"}))["session"]
    assert "icon" not in row
    assert "label" not in row
    assert row["model"] == "echo"


async def test_patch_refuses_what_is_wrong(house: House):
    await house.call("sessions.create", {"key": "w1", "label": "Taken"})
    taken = await house.refusal("sessions.patch", {"key": "w2", "label": "Taken"})
    assert taken["message"] == "label already in use: Taken"
    assert await listed(house) == ["w1"]
    unknown = await house.refusal("sessions.patch", {"key": "w1", "colour": "red"})
    assert unknown["message"] == (
        "invalid sessions.patch params: at root: unexpected property 'colour'"
    )
    stale = await house.refusal(
        "sessions.patch", {"key": "w1", "icon": "x", "expectedLifecycleRevision": "old"}
    )
    assert stale["details"] == {
        "code": "SESSION_CHANGED",
        "reason": "expectedLifecycleRevision",
    }


@pytest.mark.parametrize(
    ("patch", "allowed"),
    [
        ({"label": "x", "pinned": True, "model": "a/b"}, True),
        ({"permissionMode": "guarded"}, True),
        ({"permissionMode": "full"}, False),
        ({"sandboxMode": "off"}, False),
        ({"execHost": "node"}, False),
        ({"sendPolicy": "deny"}, False),
    ],
)
async def test_patch_needs_admin_for_more_than_looks(house: House, patch: dict, allowed: bool):
    params = {"key": "w1", **patch}
    writer = principal("operator.write")
    if allowed:
        assert (await house.call("sessions.patch", params, by=writer))["ok"] is True
    else:
        refused = await house.refusal("sessions.patch", params, by=writer)
        assert refused["details"]["missingScope"] == "operator.admin"


async def test_reset_stops_what_runs_and_begins_anew(house: House):
    await house.say("w1", "one", "k0")
    await house.call("sessions.patch", {"key": "w1", "label": "Kept"})
    before = await house.sessions.find(KEY)
    await house.call("chat.send", {"sessionKey": "w1", "message": HANG, "idempotencyKey": "k1"})
    answer = await house.call("sessions.reset", {"key": "w1"})
    assert before
    assert answer["entry"]["sessionId"] != before.session_id
    assert answer["entry"]["previousSessionId"] == before.session_id
    assert answer["entry"]["label"] == "Kept"
    assert (await house.call("agent.wait", {"runId": "k1"}))["stopReason"] == "reset"
    page = await house.call("chat.history", {"sessionKey": "w1"})
    assert [m["content"][0]["text"] for m in page["messages"]] == ["Reset"]
    stale = {"key": "w1", "expectedSessionId": before.session_id}
    assert (await house.refusal("sessions.reset", stale))["details"]["code"] == "SESSION_CHANGED"


async def test_delete_removes_session_and_transcript(house: House):
    await house.say("w1", "one", "k0")
    session = await house.sessions.find(KEY)
    assert session
    answer = await house.call("sessions.delete", {"key": "w1"})
    assert answer == {"ok": True, "key": KEY, "deleted": True, "archived": []}
    assert await house.sessions.history(session.session_id, limit=9, before=None) == ()
    assert (await house.call("sessions.delete", {"key": "w1"}))["deleted"] is False
    main = await house.refusal("sessions.delete", {"key": "main"})
    assert main["message"] == "Cannot delete the main session (agent:main:main)."


async def test_a_writer_may_delete_only_what_is_archived(house: House):
    await house.call("sessions.create", {"key": "w1"})
    writer = principal("operator.write")
    assert (await house.refusal("sessions.delete", {"key": "w1"}, by=writer))["code"] == "FORBIDDEN"
    params = {"key": "w1", "archivedOnly": True}
    refused = await house.refusal("sessions.delete", params, by=writer)
    assert refused["message"] == f"session {KEY} is not archived"
    await house.call("sessions.patch", {"key": "w1", "archived": True})
    assert (await house.call("sessions.delete", params, by=writer))["deleted"] is True


async def test_compact_trims_or_says_why_not(house: House):
    for number in range(3):
        await house.say("w1", f"m{number}", f"k{number}")
    plain = await house.call("sessions.compact", {"key": "w1"})
    assert (plain["compacted"], "summarise" in plain["reason"]) == (False, True)
    trimmed = await house.call("sessions.compact", {"key": "w1", "maxLines": 2})
    assert trimmed == {"ok": True, "key": KEY, "compacted": True, "kept": 2}
    page = await house.call("chat.history", {"sessionKey": "w1", "limit": 1})
    assert (page["totalMessages"], page["hasMore"]) == (2, True)
    again = await house.call("sessions.compact", {"key": "w1", "maxLines": 2})
    assert again["compacted"] is False
    none = await house.call("sessions.compact", {"key": "nope", "maxLines": 2})
    assert none["reason"] == "no sessionId"
    await house.call("chat.send", {"sessionKey": "w1", "message": HANG, "idempotencyKey": "h"})
    busy = await house.refusal("sessions.compact", {"key": "w1", "maxLines": 1})
    assert busy["message"] == f"Session {KEY} has an active run; retry after it finishes."
    await house.call("sessions.abort", {"key": "w1"})


async def test_send_and_abort_by_session(house: House):
    ack = await house.call("sessions.send", {"key": "w1", "message": HANG, "idempotencyKey": "a"})
    assert (ack["runId"], ack["status"]) == ("a", "started")
    await house.call("sessions.send", {"key": "w1", "message": "later", "idempotencyKey": "b"})
    answer = await house.call("sessions.abort", {"key": "w1"})
    assert answer == {"ok": True, "abortedRunId": "a", "status": "aborted"}
    assert (await house.call("agent.wait", {"runId": "b"}))["status"] == "ok"
    answer = await house.call("sessions.abort", {"key": "w1"})
    assert answer == {"ok": True, "abortedRunId": None, "status": "no-active-run"}


async def test_usage_is_the_sum_of_ended_runs(house: House):
    await house.say("w1", "one two", "k1")
    await house.say("w2", "three", "k2")
    await house.call("sessions.reset", {"key": "w1"})
    report = await house.call("sessions.usage", {})
    assert report["totals"]["input"] == 3
    assert report["totals"]["output"] == 3 + 2
    assert report["totals"]["totalTokens"] == 8
    by_key = {s["key"]: s["usage"]["totalTokens"] for s in report["sessions"]}
    assert by_key == {KEY: 5, "agent:main:w2": 3}
    assert report["aggregates"]["byModel"][0]["count"] == 2
    assert len(report["aggregates"]["daily"]) == 1
    cost = await house.call("usage.cost", {"days": 7})
    assert (cost["days"], cost["totals"]) == (7, report["totals"])
    assert [day["totalTokens"] for day in cost["daily"]] == [8]
    one = await house.call("sessions.usage", {"key": "w2"})
    assert one["totals"]["totalTokens"] == 3
    past = await house.call("sessions.usage", {"startDate": "2001-01-01", "endDate": "2001-01-02"})
    assert (past["sessions"], past["totals"]["totalTokens"]) == ([], 0)
    for wrong in (
        {"startDate": "2001-02-30"},
        {"startDate": "2001-01-02", "endDate": "2001-01-01"},
        {"timeZone": "Mars/Base"},
    ):
        assert (await house.refusal("sessions.usage", wrong))["code"] == "INVALID_REQUEST"


async def test_subscriptions_begin_and_end(house: House):
    watcher = house.connect()
    assert await house.call("sessions.subscribe", {}) == {"subscribed": False}
    assert await house.call("sessions.subscribe", {}, over=watcher) == {"subscribed": True}
    with_list = await house.call("sessions.subscribe", {"limit": 5}, over=watcher)
    assert with_list["list"]["limitApplied"] == 5
    await house.call("sessions.create", {"key": "w1"})
    await house.changes.settled()
    assert [e["reason"] for e in watcher.named("sessions.changed")] == ["create"]
    await house.call("sessions.unsubscribe", {}, over=watcher)
    await house.call("sessions.create", {"key": "w2"})
    await house.changes.settled()
    assert len(watcher.named("sessions.changed")) == 1
    follow = await house.call("sessions.messages.subscribe", {"key": "w1"}, over=watcher)
    assert follow == {"subscribed": True, "key": KEY}
    await house.say("w1", "hello", "k1")
    await house.changes.settled()
    said = [(e["message"]["role"], e["messageSeq"]) for e in watcher.named("session.message")]
    assert said == [("user", 1), ("assistant", 2)]
    answer = await house.call("sessions.messages.unsubscribe", {"key": "w1"}, over=watcher)
    assert answer == {"subscribed": False, "key": KEY}


# -- a snapshot equals the previous snapshot plus the events since ---------------------------------

VOLATILE = {"snapshotAt"}


async def snapshot(house: House) -> dict[str, dict]:
    page = await house.call("sessions.list", LIST)
    return {
        row["key"]: {name: value for name, value in row.items() if name not in VOLATILE}
        for row in page["sessions"]
    }


def apply(rows: dict[str, dict], events: list[dict]) -> dict[str, dict]:
    after = dict(rows)
    for event in events:
        if event.get("session") is None:
            after.pop(event["sessionKey"], None)
            continue
        session = event["session"]
        flat = {n: v for n, v in event.items() if v is not None and n in session}
        assert {n: v for n, v in session.items() if n in flat and v is not None} == flat
        after[event["sessionKey"]] = {n: v for n, v in session.items() if n not in VOLATILE}
    return after


ACTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "create": ("sessions.create", {"key": "new", "label": "New"}),
    "patch": ("sessions.patch", {"key": "w1", "label": "Renamed", "pinned": True, "icon": "x"}),
    "patch of a new one": ("sessions.patch", {"key": "fresh", "unread": True}),
    "archive": ("sessions.patch", {"key": "w1", "archived": True}),
    "reset": ("sessions.reset", {"key": "w1"}),
    "delete": ("sessions.delete", {"key": "w1"}),
    "compact": ("sessions.compact", {"key": "w1", "maxLines": 1}),
    "inject": ("chat.inject", {"sessionKey": "w1", "message": "note"}),
    "send": ("send", {"to": "w1", "message": "hello", "idempotencyKey": "s"}),
    "run": ("agent", {"sessionKey": "w1", "message": "again", "idempotencyKey": "run"}),
    "new": ("agent", {"sessionKey": "w1", "message": "/new hi", "idempotencyKey": "new"}),
    "system event": ("system-event", {"text": "it rains", "sessionKey": "w1"}),
}


@pytest.mark.parametrize("action", ACTIONS)
async def test_snapshot_and_events_make_the_next_snapshot(house: House, action: str):
    await house.say("w1", "one", "k1")
    await house.say("w2", "two", "k2")
    watcher = house.connect()
    await house.call("sessions.subscribe", {}, over=watcher)
    await house.changes.settled()
    before = await snapshot(house)
    watcher.events.clear()
    name, params = ACTIONS[action]
    await house.call(name, params)
    await eventually(lambda: house.turns.running == 0)
    await house.changes.settled()
    events = watcher.named("sessions.changed")
    after = await snapshot(house)
    assert events, "every change is announced"
    assert after != before
    assert apply(before, events) == after


async def test_a_running_and_a_stopped_turn_are_announced(house: House):
    watcher = house.connect()
    await house.call("sessions.subscribe", {}, over=watcher)
    await house.call("chat.send", {"sessionKey": "w1", "message": HANG, "idempotencyKey": "a"})
    await house.changes.settled()
    running = await snapshot(house)
    assert apply({}, watcher.named("sessions.changed")) == running
    assert (running[KEY]["hasActiveRun"], running[KEY]["status"]) == (True, "running")
    await house.call("sessions.abort", {"key": "w1"})
    await eventually(lambda: house.turns.running == 0)
    await house.changes.settled()
    stopped = await snapshot(house)
    assert apply(running, watcher.named("sessions.changed")) == stopped
    assert (stopped[KEY]["hasActiveRun"], stopped[KEY]["status"]) == (False, "killed")


async def test_announcing_costs_nothing_when_nobody_follows(house: House):
    house.connect()
    house.changes.announce(KEY, "patch")
    assert len(house.changes) == 0
