from __future__ import annotations

import json
from typing import Any

import pytest

from portico.events.hub import Hub, Subscription
from portico.ids import ConnId
from portico.protocol.events import EVENTS
from portico.protocol.scopes import Scope, expand


class Inbox:
    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.droppable: list[bool] = []

    def send_event(self, frame: bytes, *, droppable: bool) -> bool:
        self.frames.append(json.loads(frame))
        self.droppable.append(droppable)
        return True

    @property
    def names(self) -> list[str]:
        return [frame["event"] for frame in self.frames]


@pytest.fixture
def hub() -> Hub:
    return Hub(epoch="e", window=10, window_bytes=400)


def _join(hub: Hub, name: str = "c", *, scope: Scope = Scope.READ, **more: Any) -> Inbox:
    sink = Inbox()
    scopes = expand([scope])
    hub.subscribe(
        Subscription(ConnId(name), sink, **{"role": "operator", "scopes": scopes, **more})
    )
    return sink


def test_event_that_is_not_in_the_table_is_never_delivered(hub: Hub):
    sink = _join(hub, scope=Scope.ADMIN)
    hub.publish("secret.event", {})
    assert sink.frames == []


def test_guarded_events_need_role_and_scope(hub: Hub):
    node = _join(hub, "n", role="node", scopes=frozenset())
    reader = _join(hub, "r")
    pairing = _join(hub, "p", scope=Scope.PAIRING)
    for name in ("agent", "device.pair.requested", "tick", "health"):
        hub.publish(name, {})
    assert node.names == ["tick", "health"]
    assert reader.names == ["agent", "tick", "health"]
    assert pairing.names == ["device.pair.requested", "tick", "health"]


def test_session_audiences(hub: Hub):
    plain = _join(hub, "plain")
    listing = _join(hub, "list", session_list=True)
    scoped = _join(hub, "scoped", scoped=True, sessions=frozenset({"s"}))
    for key in ("s", "t"):
        for name in ("agent", "session.message", "sessions.changed"):
            hub.publish(name, {"key": key}, session_key=key)
    assert plain.names == ["agent", "agent"]
    assert listing.names == ["agent", "session.message", "sessions.changed"] * 2
    assert scoped.names == ["agent", "session.message"]


def test_tool_events_go_to_those_who_asked(hub: Hub):
    plain, asked = _join(hub, "plain"), _join(hub, "asked", tool_events=True)
    hub.publish("agent", {"stream": "tool"}, tool=True)
    assert (plain.names, asked.names) == ([], ["agent"])


def test_following_and_leaving_a_session(hub: Hub):
    sink = _join(hub)
    subscription = hub.find(ConnId("c"))
    assert subscription is not None
    subscription.follow("s", following=True)
    hub.publish("session.message", {}, session_key="s")
    subscription.follow("s", following=False)
    hub.publish("session.message", {}, session_key="s")
    assert len(sink.frames) == 1


def test_event_for_some_only(hub: Hub):
    one, other = _join(hub, "one"), _join(hub, "other")
    hub.publish("agent", {}, only=[ConnId("one"), ConnId("gone")])
    assert (len(one.frames), len(other.frames)) == (1, 0)
    assert hub.cursor == "e:0"  # not for replay


def test_sender_may_forbid_dropping(hub: Hub):
    sink = _join(hub)
    hub.publish("chat", {"state": "delta"})
    hub.publish("chat", {"state": "final"}, droppable=False)
    hub.publish("tick", {})
    assert sink.droppable == [True, False, False]


def test_unsubscribed_gets_nothing(hub: Hub):
    sink = _join(hub)
    hub.unsubscribe(ConnId("c"))
    hub.unsubscribe(ConnId("c"))
    hub.publish("tick", {})
    assert sink.frames == []
    assert len(hub) == 0


def test_log_is_bounded_in_bytes(hub: Hub):
    for _ in range(5):
        hub.publish("agent", {"text": "x" * 100})
    subscription = Subscription(ConnId("c"), Inbox(), role="operator", scopes=expand([Scope.READ]))
    replay, frames = hub.replay(subscription, "e:0")
    assert replay.status == "gap"
    replay, frames = hub.replay(subscription, "e:4")
    assert replay.missed == len(list(frames)) == 1


def test_passing_moments_are_not_replayed(hub: Hub):
    for name in ("tick", "presence", "health", "shutdown", "heartbeat"):
        assert not EVENTS[name].replayed
        hub.publish(name, {})
    assert hub.cursor == "e:0"
