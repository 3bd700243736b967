"""Whatever a client sends, in whatever order: what must always hold of a conversation."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from portico.protocol.errors import Forbidden, InvalidRequest, Unavailable
from portico.protocol.frames import RequestFrame
from portico.rpc.connection import (
    Authenticate,
    Close,
    Connection,
    ConnectionLimits,
    Effects,
    Phase,
    Send,
)

CLIENT = {"id": "cli", "version": "1", "platform": "linux", "mode": "cli"}
CONNECT = {"minProtocol": 4, "maxProtocol": 4, "client": CLIENT}
IDS = st.sampled_from(["a", "b", "c", "d"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


class Conversation(RuleBasedStateMachine):
    """A client that says anything, and a gateway that answers when it likes."""

    @initialize(queue=st.integers(0, 3), word=st.sampled_from(["req", "request"]))
    def begin(self, queue: int, word: str) -> None:
        self.limits = ConnectionLimits(max_pending_frames=queue, max_in_flight=3)
        self.connection = Connection("nonce", lambda: None, self.limits)
        self.word = word
        self.is_closed = False
        self.is_open = False
        self.connects = 0
        self.begun: set[str] = set()
        self.asked: dict[str, int] = {}
        self.answered: dict[str, int] = {}

    def _take(self, effects: Effects) -> None:
        for effect in effects:
            assert not self.is_closed, "something follows a close"
            match effect:
                case Send(data=data):
                    self._sent(json.loads(data))
                case Close(code=code, reason=reason):
                    assert 1000 <= code < 5000
                    assert len(reason.encode()) <= 120
                    self.is_closed = True
                case Authenticate():
                    self.connects += 1
                    assert self.connects == 1
                case RequestFrame(id=request_id):
                    assert self.is_open, "a call before hello"
                    assert request_id not in self.begun, "an id in flight is called again"
                    self.connection.begin(request_id)
                    self.begun.add(request_id)

    def _sent(self, frame: dict[str, Any]) -> None:
        if frame.get("id") == "hello":
            self.is_open = self.is_open or frame["ok"]
            return
        assert self.is_open or self.connection.phase is Phase.CLOSED, "an answer before hello"
        self.answered[frame["id"]] = self.answered.get(frame["id"], 0) + 1
        assert frame["type"] == {"req": "res", "request": "response"}[self.word]

    @rule()
    def connect(self) -> None:
        frame = {"type": self.word, "id": "hello", "method": "connect", "params": CONNECT}
        self._take(self.connection.receive(json.dumps(frame)))

    @rule(request_id=IDS, method=st.sampled_from(["m", "n"]), params=JSON)
    def request(self, request_id: str, method: str, params: Any) -> None:
        frame = {"type": self.word, "id": request_id, "method": method, "params": params}
        self.asked[request_id] = self.asked.get(request_id, 0) + 1
        self._take(self.connection.receive(json.dumps(frame)))

    @rule(text=st.text(max_size=20))
    def garbage(self, text: str) -> None:
        before = dict(self.answered)
        self._take(self.connection.receive(text))
        self.answered = before  # answers to `invalid` are nobody's

    @precondition(lambda self: self.connection.phase is Phase.AUTHENTICATING)
    @rule(is_welcome=st.booleans())
    def judge(self, is_welcome: bool) -> None:
        if is_welcome:
            self._take(self.connection.admitted({"type": "hello-ok"}))
            self._take(self.connection.resume())
        else:
            self._take(self.connection.refused(InvalidRequest("unauthorized: no")))
            assert self.is_closed

    @rule(is_welcome=st.booleans())
    def judge_too_late(self, is_welcome: bool) -> None:
        if self.connection.phase is not Phase.AUTHENTICATING:
            assert self.connection.admitted({}) == ()

    @precondition(lambda self: self.begun)
    @rule(data=st.data(), how=st.sampled_from(["ok", "accept", "fail", "role"]))
    def answer(self, data: st.DataObject, how: str) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.begun)))
        if how == "accept":
            before = dict(self.answered)
            self._take(self.connection.accepted(request_id, {"status": "accepted"}))
            self.answered = before
            return
        self.begun.discard(request_id)
        if how == "ok":
            self._take(self.connection.succeeded(request_id, {}))
        elif how == "fail":
            self._take(self.connection.failed(request_id, Forbidden.missing_scope("x")))
        else:
            error = InvalidRequest("unauthorized role: node")
            self._take(self.connection.failed(request_id, error))

    @rule(reason=st.text(max_size=200), close=st.booleans())
    def close(self, reason: str, close: bool) -> None:
        if close and reason.startswith("x"):  # rarely, so that conversations last
            self._take(self.connection.close(1012, reason))

    @precondition(lambda self: self.is_closed)
    @rule(request_id=IDS)
    def speak_after_close(self, request_id: str) -> None:
        assert self.connection.accepted(request_id, {}) == ()
        assert self.connection.succeeded(request_id, {}) == ()
        assert self.connection.failed(request_id, Unavailable("x")) == ()
        assert self.connection.close(1000) == ()

    @invariant()
    def nothing_is_answered_more_often_than_asked(self) -> None:
        for request_id, count in self.answered.items():
            assert count <= self.asked.get(request_id, 0)

    @invariant()
    def what_runs_is_bounded(self) -> None:
        assert self.connection.in_flight <= self.limits.max_in_flight

    @invariant()
    def a_closed_connection_says_so(self) -> None:
        assert self.is_closed == (self.connection.phase is Phase.CLOSED)


TestConversation = Conversation.TestCase
