"""Heartbeats of a model agent: what the model is asked, and what its answers leave behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from portico.agents.service import Roster
from portico.automation.heartbeat.model import HeartbeatSettings
from tests.contract.test_steering_a_model import told, transcript
from tests.fakes.provider import FakeProvider, Refuse, Say
from tests.support.house import House, open_house
from tests.support.thinking import model_runtime, provider_spec
from tests.support.waiting import eventually

MAIN = "agent:main:main"
ASKED = "Look around, and answer HEARTBEAT_OK when all is well."


class Rooms:
    """A house whose agent thinks with a fake provider, and looks around."""

    def __init__(self, folder: Path, database_url: str, *, every_ms: int = 3_600_000) -> None:
        heart = HeartbeatSettings(every_ms=every_ms, every="1h", prompt=ASKED, session_key=MAIN)
        self._opened = open_house(folder, url=database_url, heartbeats={"main": heart})
        self._folder = folder
        self.provider = FakeProvider()

    async def __aenter__(self) -> House:
        await self.provider.__aenter__()
        self.house = await self._opened.__aenter__()
        runtime = model_runtime(provider_spec(self.provider))
        agent = replace(self.house.agents.get("main"), runtime=runtime, workspace=str(self._folder))
        self.house.agents.replace(Roster((agent,), "main"))
        self._close = runtime.close
        return self.house

    async def __aexit__(self, *_: object) -> None:
        await self._opened.__aexit__(None, None, None)
        await self._close()
        await self.provider.__aexit__(None, None, None)


async def last(house: House, status: str) -> dict[str, Any]:
    async def is_so() -> dict[str, Any] | None:
        beat = await house.call("last-heartbeat")
        return beat if beat is not None and beat["status"] == status else None

    return await eventually(is_so)


async def test_a_quiet_model_is_asked_and_leaves_nothing(tmp_path: Path, database_url: str) -> None:
    rooms = Rooms(tmp_path, database_url, every_ms=100)
    (tmp_path / "HEARTBEAT.md").write_text("- look after the plants\n")
    async with rooms as house:
        rooms.provider.default = lambda _request: Say("HEARTBEAT_OK")
        beat = await last(house, "ok-token")
        assert (beat["agentId"], beat["silent"]) == ("main", True)
        asked = rooms.provider.requests[0]["messages"]
        assert ASKED in str(asked[-1]["content"])
        assert "look after the plants" in str(asked)
        await house.call("set-heartbeats", {"enabled": False})
        await last(house, "skipped")
        assert await transcript(house) == []
        # Nothing of the quiet beats is in the next prompt.
        rooms.provider.default = lambda _request: Say("Hello.")
        await house.say("main", "hi", "k1")
        assert told(rooms.provider.requests[-1]) == [("user", "hi")]


async def test_an_event_wakes_a_model(tmp_path: Path, database_url: str) -> None:
    rooms = Rooms(tmp_path, database_url)
    async with rooms as house:
        operator = house.connect()
        rooms.provider.plan(Say("Somebody is at the door."))
        woken = await house.call("wake", {"mode": "now", "text": "The bell rang."})
        assert woken == {"ok": True}
        beat = await last(house, "sent")
        assert beat["preview"] == "Somebody is at the door."
        assert "The bell rang." in str(rooms.provider.requests[0]["messages"][-1])
        (event,) = await eventually(lambda: operator.named("heartbeat"))
        assert event["status"] == "sent"
        assert (await transcript(house))[-1] == ("assistant", "Somebody is at the door.")


async def test_an_event_waits_for_the_next_beat(tmp_path: Path, database_url: str) -> None:
    rooms = Rooms(tmp_path, database_url)
    async with rooms as house:
        later = {"mode": "next-heartbeat", "text": "Guests come at six."}
        assert await house.call("wake", later) == {"ok": True}
        assert rooms.provider.requests == []
        rooms.provider.plan(Say("HEARTBEAT_OK"))
        await house.call("cron.run", {"id": "heartbeat-main", "mode": "force"})
        await last(house, "ok-token")
        assert "Guests come at six." in str(rooms.provider.requests[0]["messages"][-1])


async def test_a_beat_that_fails_says_so(tmp_path: Path, database_url: str) -> None:
    rooms = Rooms(tmp_path, database_url)
    async with rooms as house:
        rooms.provider.default = lambda _request: Refuse(400)
        await house.call("wake", {"mode": "now", "text": "x"})
        beat = await last(house, "failed")
        assert beat["indicatorType"] == "error"


async def test_what_the_methods_refuse(tmp_path: Path, database_url: str) -> None:
    async with Rooms(tmp_path, database_url) as house:
        closed = {"mode": "now", "text": "x", "sessionKey": "agent:main:cron:job_1:run:1"}
        reason = {"ok": False, "reason": "unwakeable-session-key"}
        assert await house.call("wake", closed) == reason
        for params in ({"mode": "soon", "text": "x"}, {"mode": "now", "text": ""}, {}):
            assert (await house.refusal("wake", params))["code"] == "INVALID_REQUEST"
        assert (await house.refusal("set-heartbeats", {}))["code"] == "INVALID_REQUEST"
        shown = (await house.call("health", {"probe": True}))["agents"][0]["heartbeat"]
        assert (shown["enabled"], shown["every"], shown["everyMs"]) == (True, "1h", 3_600_000)
        status = await house.call("status")
        assert status["heartbeat"]["agents"][0]["enabled"] is True


async def test_a_system_event_can_wake_the_agent(tmp_path: Path, database_url: str) -> None:
    rooms = Rooms(tmp_path, database_url)
    async with rooms as house:
        rooms.provider.plan(Say("I see."))
        assert await house.call("system-event", {"text": "It rains.", "wake": True}) == {"ok": True}
        await last(house, "sent")
        assert "It rains." in str(rooms.provider.requests[0]["messages"][-1])
