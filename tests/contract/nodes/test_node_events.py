"""Events of nodes: what becomes of each, and what is not believed."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from portico.ids import ConnId
from portico.nodes import waiting as queues
from portico.nodes.foreground import MAX_PARAMS_BYTES, TTL_MS, Foreground, is_for_foreground
from portico.nodes.incoming import MAX_FOLLOWED, NodeEvents
from portico.nodes.invoking import NodeFailed, Order
from portico.nodes.life import InvokeState
from portico.nodes.model import About
from portico.nodes.session import Session
from portico.nodes.talk import NodeTalk, Said
from portico.nodes.work import Given, Left, WaitingWork
from portico.protocol.errors import InvalidRequest, Overloaded
from portico.store import Store
from tests.support.clock import FakeClock
from tests.support.nodes import ADMIN, NodeHouse, operator
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


class Talk(NodeTalk):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.told: list[tuple[str, str]] = []

    def key(self, given: str) -> str:
        if given == "bad":
            raise InvalidRequest("malformed", details={"code": "BAD_KEY"})
        return f"agent:main:{given}"

    @property
    def main(self) -> str:
        return "agent:main:main"

    def route(self, channel: str | None, to: str | None) -> None:
        return None

    async def say(self, said: Said) -> str | None:
        self.said.append(said)
        return "run"

    async def tell(self, session_key: str, text: str) -> None:
        self.told.append((session_key, text))


class Room:
    """The events of one node."""

    def __init__(self, house: NodeHouse, session: Session, clock: FakeClock) -> None:
        self.house, self.session, self.clock = house, session, clock
        self.talk = Talk()
        self.follows: list[tuple[ConnId, str, bool]] = []
        self.events = NodeEvents(
            store=house.store,
            clock=clock,
            publish=lambda name, payload: house.published.append((name, payload)),
            talk=self.talk,
            follow=self._follow,
        )

    def _follow(self, conn_id: ConnId, session_key: str, *, following: bool) -> None:
        self.follows.append((conn_id, session_key, following))

    async def take(self, event: str, **payload: Any) -> tuple[bool, str | None]:
        return await self.events.take(self.session, event, payload)


@pytest.fixture
async def room(sqlite_store: Store) -> Any:
    clock = FakeClock()
    house = NodeHouse(sqlite_store, clock)
    session = await house.approved("n1", "system.run")
    yield Room(house, session, clock)
    await house.tasks.stop()


async def test_the_same_sentence_twice_is_one(room: Room) -> None:
    assert await room.take("voice.transcript", text=" tea ") == (True, None)
    assert await room.take("voice.transcript", text="tea") == (True, "duplicate")
    assert await room.take("voice.transcript", text="tea", sessionKey="x") == (True, None)
    room.clock.advance(2)
    assert await room.take("voice.transcript", text="tea") == (True, None)
    assert [one.text for one in room.talk.said] == ["tea", "tea", "tea"]
    assert await room.take("voice.transcript", text="x" * 20_001) == (False, "invalid_payload")
    assert await room.take("voice.transcript", text="tea", sessionKey="bad") == (False, "BAD_KEY")


async def test_a_request_with_a_picture(room: Room) -> None:
    content = base64.b64encode(b"png").decode()
    files = [{"mimeType": "image/png", "fileName": "a.png", "content": content}, "junk", {}]
    assert await room.take("agent.request", attachments=files, key="k") == (True, None)
    (said,) = room.talk.said
    assert (said.once, said.session_key) == ("k", "agent:main:node-n1")
    assert [(one.type, one.read()) for one in said.files] == [("image", b"png")]
    assert await room.take("agent.request", message="hi", deliver=True, channel="c", to="t") == (
        True,
        "no_route",
    )
    assert await room.take("agent.request", message=" ") == (False, "invalid_payload")


async def test_only_programs_the_gateway_asked_for_are_told_of(room: Room) -> None:
    finished = {"runId": "r1", "exitCode": 1, "output": "no\n  such file"}
    assert await room.take("exec.finished", **finished) == (False, "unmatched_exec_event")
    room.session.asked_to_run("r1")
    assert await room.take("exec.finished", **finished) == (True, None)
    assert room.talk.told == [
        ("agent:main:main", "Exec finished (node=a node id=r1, code 1)\nno such file")
    ]
    assert await room.take("exec.finished", **finished, suppressNotifyOnExit=True) == (True, None)
    assert await room.take("exec.finished", runId="r1", exitCode=0) == (True, None)
    assert await room.take("exec.denied", runId="r1", reason="x") == (True, None)
    assert len(room.talk.told) == 1


async def test_notifications_are_cut(room: Room) -> None:
    posted = {"change": "posted", "key": "k", "title": "t" * 500, "text": "x\ny"}
    assert await room.take("notifications.changed", **posted) == (True, None)
    ((_, text),) = room.talk.told
    assert len(text) < 300
    assert text.endswith("… - x y")
    assert await room.take("notifications.changed", change="seen", key="k") == (
        False,
        "invalid_payload",
    )


async def test_a_node_follows_so_many_sessions(room: Room) -> None:
    for number in range(MAX_FOLLOWED):
        assert (await room.take("chat.subscribe", sessionKey=f"s{number}"))[0]
    assert await room.take("chat.subscribe", sessionKey="more") == (False, "too_many_sessions")
    assert await room.take("chat.unsubscribe", sessionKey="s0") == (True, None)
    assert (await room.take("chat.subscribe", sessionKey="more"))[0]
    assert room.follows[-1] == (room.session.conn_id, "agent:main:more", True)


async def test_presence_needs_the_permission(room: Room) -> None:
    assert await room.take("node.presence.activity", idleSeconds=1) == (
        False,
        "permission_required",
    )
    assert await room.take("node.presence.activity", idleSeconds=True) == (
        False,
        "invalid_payload",
    )
    app = {"idleSeconds": 60, "source": "app"}
    assert await room.take("node.presence.activity", **app) == (True, "updated")
    assert room.session.last_active_at == room.clock.now_ms() - 60_000
    assert await room.take("node.presence.activity", action="clear") == (True, "cleared")
    assert await room.take("node.presence.activity", action="clear") == (True, "already_clear")
    last = room.house.events("node.presence")[-1]
    assert last == {"nodeId": "n1", "lastActiveAtMs": None, "presenceUpdatedAtMs": None}


async def test_stats_are_bounded_and_outlive_the_connection(room: Room) -> None:
    assert await room.take("node.host.stats", junk="x" * 20_000) == (False, "invalid_payload")
    assert await room.take("node.host.stats", cpuCount=1) == (True, "updated")
    for _ in range(3):  # a node that floods is not passed on to everybody
        assert await room.take("node.host.stats", cpuCount=9) == (True, "throttled")
    assert len(room.house.events("node.hostStats")) == 1
    room.clock.advance(1)
    assert await room.take("node.host.stats", cpuCount=2) == (True, "updated")
    assert await room.take("node.desktop.availability", state="locked") == (True, "updated")
    assert await room.take("node.desktop.availability", state="asleep") == (
        False,
        "invalid_payload",
    )
    shown = await room.house.nodes.directory.describe("n1")
    assert shown["desktopAvailability"] == {"state": "locked"}
    room.house.nodes.connections.gone(room.session.conn_id)
    await eventually(lambda: len(room.house.tasks) == 0)
    assert (await room.house.nodes.directory.describe("n1"))["hostStats"]["cpuCount"] == 2


async def test_junk_is_no_accident(room: Room) -> None:
    events = [*room.events._handlers, *room.events._approved_only]
    junk: list[Any] = [None, 1, "x", [], {}, {"sessionKey": 5, "text": {}, "key": []}]
    for event in events:
        for payload in junk:
            taken = await room.events.take(room.session, event, payload)
            msgspec.json.encode(taken.reason)


async def test_commands_wait_for_the_foreground(store: Store) -> None:
    clock = FakeClock()
    house = NodeHouse(store, clock)
    await house.connect("n", "camera.snap")
    waiting = Foreground(store, clock)
    phone = About(platform="iOS 26.1", device_family="iPhone")
    failed = NodeFailed("NODE_BACKGROUND_UNAVAILABLE", "not now", state=InvokeState.FAILED)
    assert is_for_foreground(phone, "camera.snap", failed)
    assert not is_for_foreground(phone, "location.get", failed)
    assert not is_for_foreground(About(platform="linux"), "camera.snap", failed)
    order = Order(command="camera.snap", params={"x": 1}, key="k")
    told = await waiting.queued("n", order, failed)
    assert told.details["code"] == "QUEUED_UNTIL_FOREGROUND"
    waiting = Foreground(store, clock)  # the gateway starts again
    assert (await waiting.queued("n", order, failed)).details == told.details  # it waits once
    other = replace(order, subject="another")  # who happened to think of the same key
    assert (await waiting.queued("n", other, failed)).details != told.details
    assert await waiting.waiting("n", usable=()) == []  # not allowed any more
    action, another = await waiting.waiting("n", usable=("camera.snap",))
    assert action["id"] == told.details["queuedActionId"]
    assert json.loads(action["paramsJSON"]) == {"x": 1}
    assert await waiting.ack("n", ["x"]) == ([], 2)
    assert await waiting.ack("other", [action["id"]]) == ([], 0)  # a node speaks for itself only
    assert await waiting.ack("n", [action["id"]]) == ([action["id"]], 1)
    assert await waiting.waiting("n", usable=("camera.snap",)) == [another]
    clock.advance(TTL_MS / 1000 + 1)
    assert await waiting.waiting("n", usable=("camera.snap",)) == []
    assert await store.write(queues.sweep, now=clock.now_ms()) == 1
    large = replace(order, params={"x": "x" * MAX_PARAMS_BYTES})
    assert await waiting.queued("n", large, failed) is failed
    assert await waiting.queued("unknown", order, failed) is failed


async def test_work_waits_in_order_and_not_for_ever(store: Store) -> None:
    clock = FakeClock()
    house = NodeHouse(store, clock)
    await house.connect("n", "location.get")
    work = WaitingWork(store, clock)
    first = await work.put("n", "status.request", priority="normal", ttl_ms=5_000)
    await house.connect("n", "location.get")  # its row is written anew
    await work.put("n", "location.request", priority="high", ttl_ms=60_000)
    again = await work.put("n", "status.request", priority="high", ttl_ms=60_000)
    assert (first.revision, again) == (1, Left(first.item, 2))
    work = WaitingWork(store, clock)  # the gateway starts again
    given = await work.take("n", 1)
    assert [one.type for one in given.items] == ["location.request"]
    assert (given.has_more, given.revision) == (True, 3)
    clock.advance(6)
    assert await work.take("n", 10) == Given([], False, 3)
    await work.put("n", "status.request", priority="normal", ttl_ms=5_000)
    await house.nodes.pairing.remove("n", operator(*ADMIN))
    assert await work.take("n", 10) == Given([], False, 0)
    with pytest.raises(Overloaded):
        await work.put("n", "status.request", priority="normal", ttl_ms=5_000)


async def test_two_gateways_give_the_same_work_once(store: Store) -> None:
    clock = FakeClock()
    await NodeHouse(store, clock).connect("n", "location.get")
    work = WaitingWork(store, clock)
    for _ in range(5):
        await work.put("n", "status.request", priority="normal", ttl_ms=5_000)
        given = await asyncio.gather(work.take("n", 4), work.take("n", 4))
        assert sorted(len(one.items) for one in given) == [0, 1]
