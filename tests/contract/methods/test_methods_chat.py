"""chat.*, agent and agent.wait, as an operator sees them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from tests.support.house import House, open_house, principal
from tests.support.waiting import eventually

KEY = "agent:main:w1"
HANG = "/sim hang=1\nx"


async def test_a_sent_message_is_answered_by_events(house: House):
    watcher = house.connect()
    ack = await house.call(
        "chat.send", {"sessionKey": "w1", "message": "hello", "idempotencyKey": "k1"}
    )
    assert ack == {"runId": "k1", "status": "started", "messageSeq": 1}
    final = await eventually(
        lambda: next((e for e in watcher.named("chat") if e["state"] == "final"), None)
    )
    assert final["runId"] == "k1"
    assert final["sessionKey"] == KEY
    assert final["message"]["content"] == [{"type": "text", "text": "Echo: hello"}]


async def test_the_same_key_again_is_not_another_message(house: House):
    params = {"sessionKey": KEY, "message": HANG, "idempotencyKey": "k1"}
    assert (await house.call("chat.send", params))["status"] == "started"
    assert await house.call("chat.send", params) == {"runId": "k1", "status": "in_flight"}
    await house.call("chat.abort", {"sessionKey": KEY})
    assert await house.call("chat.send", params) == {"runId": "k1", "status": "ok"}
    reused = await house.refusal("chat.send", {**params, "message": "other"})
    assert reused["details"]["code"] == "IDEMPOTENCY_MISMATCH"


async def test_abort_stops_what_runs_and_what_waits(house: House):
    watcher = house.connect()
    for run_id in ("a", "b"):
        params = {"sessionKey": KEY, "message": HANG, "idempotencyKey": run_id}
        await house.call("chat.send", params)
    answer = await house.call("chat.abort", {"sessionKey": KEY})
    assert answer == {"ok": True, "aborted": True, "runIds": ["a", "b"]}
    aborted = [e for e in watcher.named("chat") if e["state"] == "aborted"]
    assert {e["runId"]: e["stopReason"] for e in aborted}["a"] == "rpc"
    nothing = await house.call("chat.abort", {"sessionKey": KEY})
    assert nothing == {"ok": True, "aborted": False, "runIds": []}
    other = {"sessionKey": "agent:main:other", "runId": "a"}
    assert (await house.refusal("chat.abort", other))[
        "message"
    ] == "runId does not match sessionKey"


async def test_stop_is_a_command_unless_it_is_meant_as_text(house: House):
    await house.call("chat.send", {"sessionKey": KEY, "message": HANG, "idempotencyKey": "a"})
    stop = {"sessionKey": KEY, "message": " /stop ", "idempotencyKey": "b"}
    assert await house.call("chat.send", stop) == {"ok": True, "aborted": True, "runIds": ["a"]}
    text = {**stop, "idempotencyKey": "c", "suppressCommandInterpretation": True}
    assert (await house.call("chat.send", text))["status"] == "started"


async def test_new_resets_the_session_once_and_needs_admin(house: House):
    await house.say(KEY, "before", "k0")
    before = await house.sessions.find(KEY)
    params = {"sessionKey": KEY, "message": "/new and hello", "idempotencyKey": "k1"}
    writer = principal("operator.write")
    refused = await house.refusal("chat.send", params, by=writer)
    assert refused["message"] == "missing scope: operator.admin"
    assert (await house.call("chat.send", params))["status"] == "started"
    await house.call("agent.wait", {"runId": "k1"})
    after = await house.sessions.find(KEY)
    assert before
    assert after
    assert after.session_id != before.session_id
    assert (await house.call("chat.send", params))["status"] == "ok"
    again = await house.sessions.find(KEY)
    assert again
    assert again.session_id == after.session_id
    history = await house.call("chat.history", {"sessionKey": KEY})
    said = [(m["role"], m["__openclaw"].get("kind")) for m in history["messages"]]
    assert said == [("system", "reset"), ("user", None), ("assistant", None)]
    assert history["messages"][1]["content"] == "and hello"


async def test_a_bare_reset_is_confirmed_without_a_run(house: House):
    watcher = house.connect()
    params = {"sessionKey": KEY, "message": "/reset", "idempotencyKey": "k1"}
    assert await house.call("chat.send", params) == {"runId": "k1", "status": "ok"}
    assert [e["state"] for e in watcher.named("chat")] == ["final"]


async def test_history_shows_messages_with_their_place(house: House):
    await house.say(KEY, "one", "k1")
    await house.say(KEY, "two", "k2")
    page = await house.call("chat.history", {"sessionKey": KEY})
    assert [m["__openclaw"]["seq"] for m in page["messages"]] == [1, 2, 3, 4]
    user, assistant = page["messages"][:2]
    assert (user["role"], user["content"], user["idempotencyKey"]) == ("user", "one", "k1:user")
    assert assistant["usage"]["totalTokens"] == 3
    assert assistant["__openclaw"]["runId"] == "k1"
    assert (page["totalMessages"], page["hasMore"]) == (4, False)
    assert page["pendingInputs"] == {"items": [], "total": 0}
    assert page["sessionInfo"]["activeLeafEntryId"] == page["messages"][-1]["__openclaw"]["id"]


async def test_history_pages_go_back_from_the_newest(house: House):
    for number in range(5):
        await house.say(KEY, f"m{number}", f"k{number}")
    first = await house.call("chat.history", {"sessionKey": KEY, "limit": 4})
    assert [m["__openclaw"]["seq"] for m in first["messages"]] == [7, 8, 9, 10]
    assert (first["hasMore"], first["nextOffset"]) == (True, 4)
    older = await house.call("chat.history", {"sessionKey": KEY, "limit": 6, "offset": 4})
    assert [m["__openclaw"]["seq"] for m in older["messages"]] == [1, 2, 3, 4, 5, 6]
    assert older["hasMore"] is False
    around = older["messages"][2]["__openclaw"]["id"]
    window = await house.call("chat.history", {"sessionKey": KEY, "limit": 4, "messageId": around})
    assert around in [m["__openclaw"]["id"] for m in window["messages"]]
    both = {"sessionKey": KEY, "offset": 1, "messageId": around}
    assert (await house.refusal("chat.history", both))["code"] == "INVALID_REQUEST"


async def test_history_is_bounded_in_bytes_and_characters(house: House):
    await house.say(KEY, "x" * 4000, "k1")
    small = await house.call("chat.history", {"sessionKey": KEY, "maxBytes": 1024})
    assert [m["content"][0]["text"] for m in small["messages"]] == [
        "[message omitted: too large]",
        "[message omitted: too large]",
    ][-len(small["messages"]) :]
    cut = await house.call("chat.history", {"sessionKey": KEY, "maxChars": 10})
    assert cut["messages"][0]["content"] == "xxxxxxxxxx…"
    assert cut["messages"][0]["__openclaw"]["truncated"] is True


async def test_a_cursor_gives_what_was_added_or_says_reset(house: House):
    await house.say(KEY, "one", "k1")
    cursor = (await house.call("chat.history", {"sessionKey": KEY}))["deltaCursor"]
    ask = {"sessionKey": KEY, "cursor": cursor}
    empty = await house.call("chat.history", ask)
    assert (empty["kind"], empty["messages"], empty["deltaCursor"]) == ("delta", [], cursor)
    await house.say(KEY, "two", "k2")
    added = await house.call("chat.history", ask)
    assert [m["__openclaw"]["seq"] for m in added["messages"]] == [3, 4]
    assert added["deltaCursor"] != cursor
    await house.call("sessions.reset", {"key": KEY})
    assert await house.call("chat.history", ask) == {"kind": "reset"}
    rubbish = {"sessionKey": KEY, "cursor": "rubbish"}
    assert await house.call("chat.history", rubbish) == {"kind": "reset"}


async def test_history_shows_what_runs_and_what_waits(house: House):
    await house.call("chat.send", {"sessionKey": KEY, "message": HANG, "idempotencyKey": "a"})
    await house.call("chat.send", {"sessionKey": KEY, "message": "later", "idempotencyKey": "b"})
    asked = {"sessionKey": KEY, "inputRunIds": ["a", "b", "unknown"]}
    page = await house.call("chat.history", asked)
    assert page["inFlightRun"] == {"runId": "a"}
    assert page["pendingInputs"]["total"] == 1
    item = page["pendingInputs"]["items"][0]
    assert (item["runId"], item["state"], item["message"]["content"]) == ("b", "queued", "later")
    assert [r["state"] for r in page["inputReceipts"]] == ["consumed", "pending"]
    assert page["sessionInfo"]["activeRunIds"] == ["a"]
    await house.call("chat.abort", {"sessionKey": KEY})


async def test_history_of_a_session_that_never_was_is_empty(house: House):
    page = await house.call("chat.history", {"sessionKey": "agent:main:nosuch"})
    assert (page["messages"], page["totalMessages"]) == ([], 0)
    assert "sessionId" not in page
    assert page["sessionInfo"]["updatedAt"] is None


async def test_injected_notes_are_in_the_transcript_and_announced(house: House):
    await house.say(KEY, "one", "k1")
    watcher = house.connect()
    watcher.follow_session(KEY, True)
    params = {"sessionKey": KEY, "message": "by the way", "label": "note"}
    answer = await house.call("chat.inject", params)
    await house.changes.settled()
    event = watcher.named("chat")[-1]
    assert event["runId"] == f"inject-{answer['messageId']}"
    assert (event["seq"], event["state"]) == (0, "final")
    said = watcher.named("session.message")[-1]
    assert (said["messageId"], said["messageSeq"]) == (answer["messageId"], 3)
    missing = await house.refusal("chat.inject", {"sessionKey": "nope", "message": "x"})
    assert missing["details"]["code"] == "SESSION_NOT_FOUND"


async def test_agent_answers_twice(house: House):
    early: list[Any] = []
    params = {"sessionKey": KEY, "message": "hi there", "idempotencyKey": "k1"}
    final = await house.call("agent", params, early=early)
    accepted = early[0]
    assert (accepted.run_id, accepted.status, accepted.session_key) == ("k1", "accepted", KEY)
    assert (final["runId"], final["status"], final["summary"]) == ("k1", "ok", "completed")
    assert final["result"]["payloads"] == [{"text": "Echo: hi there", "mediaUrl": None}]
    meta = final["result"]["meta"]
    assert meta["aborted"] is False
    assert meta["agentMeta"]["usage"]["total"] == 5
    again: list[Any] = []
    assert await house.call("agent", params, early=again) == final
    assert again == []


async def test_the_answer_of_a_run_survives_a_restart(tmp_path: Path):
    params = {"sessionKey": KEY, "message": "hi", "idempotencyKey": "k1"}
    async with open_house(tmp_path) as house:
        final = await house.call("agent", params)
    async with open_house(tmp_path) as house:
        assert await house.call("agent", params) == final


async def test_a_failed_run_is_an_error_with_its_last_state(house: House):
    params = {"sessionKey": KEY, "message": "/sim error=refusal\nx", "idempotencyKey": "k1"}
    refused = await house.refusal("agent", params)
    assert refused["code"] == "UNAVAILABLE"
    assert (refused["payload"].status, refused["payload"].summary) == ("error", "failed")
    waited = await house.call("agent.wait", {"runId": "k1"})
    assert waited["status"] == "error"
    assert waited["error"] == refused["message"]


async def test_an_aborted_run_times_out_with_its_summary(house: House):
    task = house.tasks.start(house.say(KEY, HANG, "k1"), name="test")
    await eventually(lambda: house.turns.active_run(KEY))
    params = {"sessionKey": KEY, "message": HANG, "idempotencyKey": "k1"}
    assert (await house.call("agent", params))["status"] == "in_flight"
    assert await house.call("agent.wait", {"runId": "k1", "timeoutMs": 1}) == {
        "runId": "k1",
        "status": "timeout",
    }
    queued = {"sessionKey": KEY, "message": "x", "idempotencyKey": "k2"}
    await house.call("chat.send", queued)
    assert await house.call("agent.wait", {"runId": "k2", "timeoutMs": 1}) == {
        "runId": "k2",
        "status": "pending",
        "timeoutPhase": "queue",
        "providerStarted": False,
    }
    await house.call("sessions.abort", {"runId": "k1"})
    final = await task
    assert (final["status"], final["summary"], final["stopReason"]) == ("timeout", "aborted", "rpc")


async def test_agent_finds_its_session(house: House):
    async def target(**given) -> str:
        early: list = []
        params = {"message": "x", "idempotencyKey": str(given), **given}
        await house.call("agent", params, early=early)
        return early[0].session_key

    assert await target(agentId="main") == "agent:main:main"
    assert await target(to="+15550100") == "agent:main:main"
    assert await target(sessionKey="w2") == "agent:main:w2"
    assert await target(sessionId="s-1") == "agent:main:explicit:s-1"
    session = await house.sessions.find("agent:main:w2")
    assert session is not None
    assert await target(sessionId=session.session_id) == "agent:main:w2"
    nowhere = await house.refusal("agent", {"message": "x", "idempotencyKey": "n"})
    assert nowhere["message"].startswith("invalid agent params: ")
    unknown = {"message": "x", "idempotencyKey": "n", "agentId": "nobody"}
    assert (await house.refusal("agent", unknown))["details"]["code"] == "UNKNOWN_AGENT_ID"
    elsewhere = {"message": "x", "idempotencyKey": "n", "agentId": "main", "channel": "pigeon"}
    assert (await house.refusal("agent", elsewhere))["message"] == "unsupported channel: pigeon"


async def test_bad_params_are_explained(house: House):
    missing = await house.refusal("agent", {"sessionKey": KEY, "message": "x"})
    assert missing["message"] == (
        "invalid agent params: must have required property 'idempotencyKey'"
    )
    empty = await house.refusal("agent", {"message": "", "idempotencyKey": "k"})
    assert empty["message"] == (
        "invalid agent params: at /message: must not have fewer than 1 characters"
    )


async def test_model_overrides_need_admin(house: House):
    params = {"sessionKey": KEY, "message": "x", "idempotencyKey": "k", "model": "a/b"}
    refused = await house.refusal("agent", params, by=principal("operator.write"))
    assert refused["details"]["missingScope"] == "operator.admin"


async def test_attachments_are_checked(house: House):
    def params(content: object, **more) -> dict:
        attachment = {"content": content, "mimeType": "image/png", **more}
        return {
            "sessionKey": KEY,
            "message": "",
            "attachments": [attachment],
            "idempotencyKey": "k",
        }

    bad = await house.refusal("chat.send", params("§§"))
    assert "base64" in bad["message"]
    large = base64.b64encode(b"x" * 6_300_000).decode()
    too_large = await house.refusal("chat.send", params(large))
    assert too_large["details"]["code"] == "ATTACHMENT_TOO_LARGE"
    nothing = {"sessionKey": KEY, "message": " ", "idempotencyKey": "k"}
    assert (await house.refusal("chat.send", nothing))["message"] == (
        "message or attachment required"
    )
    url = f"data:image/png;base64,{base64.b64encode(b'png').decode()}"
    assert (await house.call("chat.send", params(url)))["status"] == "started"
    page = await house.call("chat.history", {"sessionKey": KEY})
    part = page["messages"][0]["content"][0]
    assert (part["type"], part["sizeBytes"]) == ("image", 3)
    assert "content" not in part


async def test_expectations_of_a_sender_are_checked(house: House):
    await house.say(KEY, "one", "k1")
    page = await house.call("chat.history", {"sessionKey": KEY})
    base = {"sessionKey": KEY, "message": "x", "idempotencyKey": "k2"}
    stale = await house.refusal("chat.send", {**base, "expectedLeafEntryId": "other"})
    assert stale["details"]["reason"] == "active-leaf-changed"
    other = await house.refusal("chat.send", {**base, "sessionId": "other"})
    assert other["details"]["reason"] == "session-changed"
    leaf = page["sessionInfo"]["activeLeafEntryId"]
    right = {**base, "expectedLeafEntryId": leaf, "sessionId": page["sessionId"]}
    assert (await house.call("chat.send", right))["status"] == "started"


async def test_startup_and_metadata_show_what_there_is(house: House):
    await house.say(KEY, "one", "k1")
    startup = await house.call("chat.startup", {"sessionKey": KEY})
    assert len(startup["messages"]) == 2
    assert startup["metadata"]["models"][0]["id"] == "echo"
    metadata = await house.call("chat.metadata", {"sessionKey": KEY})
    assert metadata == startup["metadata"]
    assert {"stop", "new", "reset"} < {c["name"] for c in metadata["commands"]}
    assert (await house.call("commands.list"))["commands"] == metadata["commands"]
    short = startup["sessionId"][:8]
    found = await house.call("chat.startup", {"shortId": short, "agentId": "main"})
    assert found["resolution"] == {"ok": True, "key": KEY, "agentId": "main"}


async def test_a_session_may_forbid_sending_and_choose_its_model(house: House):
    await house.call("sessions.patch", {"key": KEY, "model": "acme/large"})
    await house.say(KEY, "one", "k1")
    row = await house.turns.find("k1")
    assert row
    assert row.request.model == "acme/large"
    await house.call("sessions.patch", {"key": KEY, "model": "acme/small"})
    again = {"sessionKey": KEY, "message": "one", "idempotencyKey": "k1"}
    assert (await house.call("agent", again))["status"] == "ok"
    await house.call("sessions.patch", {"key": KEY, "sendPolicy": "deny"})
    blocked = {"sessionKey": KEY, "message": "x", "idempotencyKey": "k2"}
    assert (await house.refusal("chat.send", blocked))["message"] == (
        "send blocked by session policy"
    )
