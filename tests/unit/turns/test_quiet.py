"""Answers that say there is nothing to say: nothing of their turn stays or is shown."""

from __future__ import annotations

import pytest

from portico.agents.runtime import Final, Quiet, TextDelta, ToolFinished, ToolStarted, TurnRequest
from portico.sessions import transcript
from portico.store import Store
from tests.support.path import FakeChannel, Path, Senders
from tests.support.waiting import eventually

BEAT = TurnRequest(text="anything?", quiet=Quiet(max_chars=10))


@pytest.mark.parametrize(
    ("answer", "is_quiet"),
    [
        ("HEARTBEAT_OK", True),
        ("  **HEARTBEAT_OK**\n", True),
        ("HEARTBEAT_OK all well", True),
        ("All well. HEARTBEAT_OK", True),
        ("HEARTBEAT_OK but there is a fire", False),
        ("I would say HEARTBEAT_OK if not", False),
        ("All well", False),
        ("", False),
    ],
)
def test_what_is_quiet(answer: str, is_quiet: bool) -> None:
    assert Quiet(max_chars=10).hushes(answer) is is_quiet


def test_an_answer_without_its_token() -> None:
    quiet = Quiet()
    assert quiet.without_token("HEARTBEAT_OK but there is a fire") == "but there is a fire"
    assert quiet.without_token("`HEARTBEAT_OK`") == ""
    assert quiet.without_token(" plain *text* ") == "plain *text*"


async def test_a_quiet_turn_leaves_nothing_behind(store: Store) -> None:
    async with Path(store) as path:
        await path.say("r1", "hello")
        await path.begun("r1")
        path.puppet.finish("r1", "hi")
        await path.ended("r1")
        await store.write(transcript.mark_read, "agent:main:s")
        before = await store.read(transcript.find_session, "agent:main:s")
        await path.say("beat", request=BEAT)
        await path.begun("beat")
        path.puppet.tell("beat", ToolStarted("t", "look", {}, side_effects=False))
        path.puppet.tell("beat", ToolFinished("t", "look", "nothing"))
        path.puppet.finish("beat", "HEARTBEAT_OK")
        row = await path.ended("beat")
        assert row.result is not None
        assert (row.state, row.result.is_quiet, row.result.text) == (
            "succeeded",
            True,
            "HEARTBEAT_OK",
        )
        assert await path.transcript() == [("user", "hello"), ("assistant", "hi")]
        after = await store.read(transcript.find_session, "agent:main:s")
        assert before is not None
        assert after is not None
        assert (after.message_count, after.unread) == (before.message_count, False)
        assert path.events.states("beat") == ["final"]
        assert "message" not in path.events.chat("beat")[0]
        agent = [f["payload"] for f in path.events.frames if f["event"] == "agent"]
        assert {p.get("isHeartbeat") for p in agent if p["runId"] == "beat"} == {True}
        assert [entry.run_id for entry in path.seen.entries] == ["r1"]


async def test_a_turn_with_something_to_say_is_like_any_other(store: Store) -> None:
    channel = FakeChannel()
    senders = Senders({"fake": channel})
    async with Path(store, senders=senders) as path:
        await path.say("beat", "anything?", request=BEAT, channel="fake")
        await path.begun("beat")
        path.puppet.tell("beat", TextDelta("There is "), TextDelta("a fire"), Final())
        await path.ended("beat")
        assert await path.transcript() == [("user", "anything?"), ("assistant", "There is a fire")]
        assert path.events.states("beat") == ["final"]
        assert path.events.chat("beat")[0]["message"]["content"][0]["text"] == "There is a fire"
        await eventually(lambda: channel.texts == ["There is a fire"])


async def test_a_quiet_answer_is_not_sent(sqlite_store: Store) -> None:
    channel = FakeChannel()
    async with Path(sqlite_store, senders=Senders({"fake": channel})) as path:
        await path.say("beat", request=BEAT, channel="fake")
        await path.begun("beat")
        path.puppet.finish("beat", "HEARTBEAT_OK")
        await path.ended("beat")
        await path.settled()
        assert channel.calls == []


async def test_what_somebody_said_meanwhile_stays(store: Store) -> None:
    async with Path(store) as path:
        await path.say("beat", "anything?", request=BEAT)
        await path.begun("beat")
        await path.say("r2", "and this?", mode="steer")
        path.puppet.tell("beat", "steer")
        await eventually(lambda: path.puppet.steered)
        path.puppet.finish("beat", "HEARTBEAT_OK")
        row = await path.ended("beat")
        assert row.result is not None
        assert not row.result.is_quiet
        said = [text for _, text in await path.transcript()]
        assert said == ["anything?", "and this?", "HEARTBEAT_OK"]


async def test_a_failure_is_shown(sqlite_store: Store) -> None:
    async with Path(sqlite_store) as path:
        await path.say("beat", "anything?", request=BEAT)
        await path.begun("beat")
        path.puppet.tell("beat", TextDelta("HEARTBEAT_OK"), RuntimeError("as told"))
        row = await path.ended("beat")
        assert row.state == "failed"
        assert path.events.states("beat") == ["error"]
