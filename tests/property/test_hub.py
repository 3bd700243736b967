"""Whatever is published to whomever: sequences and replays stay whole."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from portico.events.hub import Hub, Subscription
from portico.ids import ConnId
from portico.protocol.scopes import Scope, expand

EVENTS = st.lists(
    st.tuples(st.sampled_from(["agent", "chat", "tick", "device.pair.requested"]), st.booleans()),
    max_size=30,
)


class Inbox:
    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.takes = True

    def send_event(self, frame: bytes, *, droppable: bool) -> bool:
        if self.takes:
            self.frames.append(json.loads(frame))
        return self.takes


def _subscription(sink: Inbox, *, name: str = "c", **more: Any) -> Subscription:
    scopes = expand([Scope.READ])
    return Subscription(ConnId(name), sink, role="operator", scopes=scopes, **more)


@given(events=EVENTS)
def test_seq_rises_by_one_and_a_drop_leaves_a_gap(events):
    hub, sink = Hub(epoch="e", window=10, window_bytes=10_000), Inbox()
    hub.subscribe(_subscription(sink))
    expected, seq = [], 0
    for name, takes in events:
        sink.takes = takes
        hub.publish(name, {})
        if name != "device.pair.requested":  # needs a scope this client does not hold
            seq += 1
            if takes:
                expected.append((name, seq))
    assert [(frame["event"], frame["seq"]) for frame in sink.frames] == expected


@given(before=st.integers(0, 20), missed=st.integers(0, 20), window=st.integers(0, 12))
def test_replay_gives_exactly_what_was_missed_or_says_that_it_cannot(before, missed, window):
    hub = Hub(epoch="e", window=window, window_bytes=1 << 20)
    for n in range(before):
        hub.publish("agent", {"n": n})
    cursor = hub.cursor
    for n in range(before, before + missed):
        hub.publish("agent", {"n": n})
    sink = Inbox()
    replay, frames = hub.replay(_subscription(sink, wants_cursor=True), cursor)
    replayed = [json.loads(frame) for frame in frames]
    assert replay.cursor == hub.cursor
    if missed <= window:
        assert replay.status == "resumed"
        assert [f["payload"]["n"] for f in replayed] == list(range(before, before + missed))
        assert [f["seq"] for f in replayed] == list(range(1, missed + 1))
    else:
        assert replay.status == "gap"
        assert replayed == []


@given(st.text(max_size=20))
def test_any_text_may_come_as_a_cursor(cursor):
    hub = Hub(epoch="e", window=5, window_bytes=1000)
    hub.publish("agent", {})
    replay, frames = hub.replay(_subscription(Inbox()), cursor)
    assert replay.status in {"gap", "resumed"}
    list(frames)
