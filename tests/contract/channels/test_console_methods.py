"""The console: every message, what waits, and second tries."""

from __future__ import annotations

import asyncio
from pathlib import Path

from portico.agents.runtime import Failed, Final
from tests.contract.channels.test_channel_methods import room
from tests.support.waiting import eventually

OPEN = {"dmPolicy": "open", "allowFrom": ["*"]}


async def test_messages_are_listed_with_what_was_decided(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.connected()
        await here.partner.say("let me in", sender="ann")
        await eventually(here.partner.sent)
        listed = await here.call("inbox.list")
        (message,) = listed["messages"]
        assert listed["counts"] == {"refused": 1}
        assert message["peer"] == {"kind": "direct", "id": "ann"}
        assert (message["state"], message["senderName"]) == ("refused", "Ann")
        assert message["reason"].startswith("not approved yet")
        assert (await here.call("inbox.list", state="queued"))["messages"] == []
        assert (await here.call("inbox.list", channel="other"))["messages"] == []
        shown = await here.call("inbox.get", messageId=message["messageId"])
        assert shown["text"] == "let me in"
        waits = await here.refusal("inbox.discard", messageId=message["messageId"])
        assert "does not wait" in waits
        for method in ("inbox.get", "inbox.retry", "inbox.discard"):
            assert await here.refusal(method, messageId="no") == "unknown message: no"
            assert await here.refusal(method) == "messageId or runId required"


async def test_a_refused_message_is_answered_after_all_once(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.connected()
        await here.partner.say("let me in", sender="ann")
        await eventually(here.partner.sent)
        (message,) = (await here.call("inbox.list"))["messages"]
        retried = await here.call("inbox.retry", messageId=message["messageId"])
        await eventually(lambda: len(here.partner.sent()) == 2)
        assert here.partner.sent()[-1].text == "Echo: let me in"
        shown = await here.call("inbox.get", runId=retried["runId"])
        assert (shown["runState"], shown["state"]) == ("succeeded", "queued")
        assert shown["reason"] == "retried by tester"
        again = await here.refusal("inbox.retry", messageId=message["messageId"])
        assert again == f"message {message['messageId']} was answered"


async def test_what_waits_is_seen_and_can_be_taken_out(tmp_path: Path) -> None:
    from tests.support.http import Scripted

    runtime = Scripted(Final("done"), held=True)
    async with room(tmp_path, runtime=runtime, **OPEN) as here:
        await here.connected()
        for text in ("first", "second"):
            await here.partner.say(text)
        lanes = await eventually(lambda: both(here))
        (lane,) = lanes
        assert (lane["running"], lane["waiting"]) == (1, 1)
        assert [turn["text"] for turn in lane["turns"]] == ["first", "second"]
        same = await here.call("lanes.get", sessionKey=lane["sessionKey"])
        assert same["turns"][0]["runId"] == lane["turns"][0]["runId"]
        waiting = lane["turns"][1]["runId"]
        being = await here.refusal("inbox.retry", runId=waiting)
        assert "is being answered" in being
        assert (await here.call("inbox.discard", runId=waiting))["discarded"] is True
        running = lane["turns"][0]["runId"]
        assert (await here.call("lanes.discard", runId=running))["discarded"] is True
        assert "unknown run" in await here.refusal("lanes.discard", runId="no")
        await eventually(lambda: nothing_runs(here))


async def both(here):
    lanes = (await here.call("lanes.list"))["lanes"]
    return lanes if lanes and lanes[0]["running"] + lanes[0]["waiting"] == 2 else None


async def nothing_runs(here) -> bool:
    return (await here.call("lanes.list"))["lanes"] == []


async def test_a_failed_run_is_run_again(tmp_path: Path) -> None:
    from tests.support.http import Scripted

    runtime = Scripted(Failed("the model is away"))
    async with room(tmp_path, runtime=runtime, **OPEN) as here:
        await here.connected()
        await here.partner.say("question")
        await eventually(here.partner.sent)
        (message,) = (await here.call("inbox.list"))["messages"]
        assert message["runState"] == "failed"
        runtime.events = (Final("the answer"),)
        await here.call("inbox.retry", runId=message["runId"])
        await eventually(lambda: len(here.partner.sent()) == 2)
        assert here.partner.sent()[-1].text == "the answer"
        await asyncio.sleep(0)
