"""Invokes under any schedule: answers early, late, twice and forged, connections that end and come
back, callers that leave, time that runs out, and a gateway that dies at any commit.

What must hold: every invoke ends once and says whether it was sent; under one key a node is told
once; only the connection that was asked can answer; nothing stays behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from portico.ids import ConnId
from portico.nodes import life
from portico.nodes.invoking import InvokeLimits, NodeAnswer, NodeFailed, Order, answer_of
from portico.nodes.life import Happening, InvokeState
from portico.nodes.session import Session
from portico.nodes.settings import NodeSettings
from tests.support.clock import FakeClock
from tests.support.memory import Memory, OwnedStore
from tests.support.nodes import NodeHouse
from tests.support.waiting import loop_turns

WHICH = "system.which"
NODES = ("n1", "n2")
nodes = st.sampled_from(NODES)


def test_the_table() -> None:
    for state in InvokeState:
        for happening in Happening:
            taken = life.step(state, happening)
            if life.is_over(state):
                assert taken == (state, False, False)
            elif not taken.is_heard:
                assert taken.state is state
            if taken.tells_node:  # only what was sent can be called back
                assert life.was_sent(state)
                assert life.is_over(taken.state)
    for state in InvokeState:
        assert (life.outcome(state) == "not_started") is not life.was_sent(state)


class Machine(RuleBasedStateMachine):
    requests: Bundle[dict[str, Any]] = Bundle("requests")

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.memory = Memory()
        self.clock = FakeClock()
        self.count = 0
        self.told: Counter[str] = Counter()  # key → how often some node was told
        self.asked: dict[str, tuple[asyncio.Task[NodeAnswer], Session, ConnId]] = {}
        self.ended: Counter[str] = Counter()
        self.expected: dict[str, Any] = {}  # key → what the node truly answered
        self.old: list[Session] = []
        self.open_gateway()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def leave(self, conn_id: ConnId) -> None:
        """Let a connection end."""

        async def end() -> None:
            self.house.nodes.connections.gone(conn_id)

        self.run(end())

    def open_gateway(self) -> None:
        self.store = OwnedStore(self.memory)
        limits = InvokeLimits(most_in_flight=4)
        self.house = NodeHouse(self.store, self.clock, NodeSettings(invoke=limits))
        for node_id in NODES:
            self.run(self.house.approved(node_id, WHICH, conn=self.name("conn")))

    def name(self, what: str) -> str:
        self.count += 1
        return f"{what}-{self.count}"

    def settle(self) -> None:
        self.run(loop_turns())
        for _, name, payload in self.house.told:
            if name == "node.invoke.request":
                self.told[payload["idempotencyKey"]] += 1
        self.house.told.clear()
        for key, (task, _, _) in list(self.asked.items()):
            if task.done():
                del self.asked[key]
                self.finish(key, task)

    def finish(self, key: str, task: asyncio.Task[NodeAnswer]) -> None:
        self.ended[key] += 1
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            assert task.result().payload == self.expected[key], "another's answer"
            return
        assert isinstance(error, NodeFailed), error
        was_sent = error.details["nodeCommandDispatched"]
        assert was_sent is (self.told[key] > 0), (key, error)
        if not was_sent:
            assert error.details["outcome"] == "not_started"

    @rule(target=requests, node=nodes)
    def ask(self, node: str) -> dict[str, Any]:
        session = self.house.nodes.connections.session(node)
        key, caller = self.name("key"), ConnId(self.name("caller"))
        request: dict[str, Any] = {"key": key, "node": node, "caller": caller}
        if session is None:
            return request
        order = Order(command=WHICH, subject="me", key=key, caller=caller, timeout_ms=3_600_000)
        task = self.loop.create_task(self.house.nodes.invoke(node, order))
        self.asked[key] = (task, session, caller)
        self.run(loop_turns())
        sent = [p for p in self.house.requests(session.conn_id) if p["idempotencyKey"] == key]
        request |= {"id": sent[0]["id"] if sent else None, "session": session}
        self.settle()
        return request

    @rule(request=requests, late=st.booleans())
    def ask_again_after_its_end(self, request: dict[str, Any], late: bool) -> None:
        key = request["key"]
        if key in self.asked or self.house.nodes.connections.session(request["node"]) is None:
            return
        if self.told[key] == 0 and not late:
            return
        before = self.told[key]
        order = Order(command=WHICH, subject="me", key=key, timeout_ms=3_600_000)
        task = self.loop.create_task(self.house.nodes.invoke(request["node"], order))
        session = self.house.nodes.connections.session(request["node"])
        assert session is not None
        self.asked[key] = (task, session, ConnId(""))
        self.settle()
        if before:
            assert self.told[key] == before, "told twice"
            assert key not in self.asked

    @rule(request=requests, is_error=st.booleans(), forged=st.booleans())
    def answer(self, request: dict[str, Any], is_error: bool, forged: bool) -> None:
        if request.get("id") is None:
            return
        session: Session = request["session"]
        conn_id, key = session.conn_id, request["key"]
        if forged:
            others = [
                s for s in (*self.house.nodes.connections.sessions(), *self.old) if s is not session
            ]
            conn_id = others[0].conn_id if others else ConnId("nobody")
        else:
            self.expected.setdefault(key, key)
        is_open = key in self.asked and self.asked[key][1] is session
        was_heard = self.house.nodes.invokes.result(
            conn_id,
            request["id"],
            answer=None if is_error else answer_of("forged" if forged else key, None),
            error=("NODE_ERROR", "no"),
        )
        if forged:
            assert not was_heard
        elif was_heard:
            assert is_open
        self.settle()
        if was_heard:
            assert key not in self.asked

    @rule(request=requests, seq=st.integers(0, 3))
    def progress(self, request: dict[str, Any], seq: int) -> None:
        if request.get("id") is not None:
            self.house.nodes.invokes.progress(
                request["session"].conn_id, request["id"], seq=seq, chunk="…"
            )

    @rule(node=nodes)
    def disconnect(self, node: str) -> None:
        session = self.house.nodes.connections.session(node)
        if session is not None:
            self.old.append(session)
            self.leave(session.conn_id)
            self.settle()
            assert all(one[1] is not session for one in self.asked.values())

    @rule(node=nodes)
    def connect_again(self, node: str) -> None:
        before = self.house.nodes.connections.session(node)
        self.run(self.house.connect(node, WHICH, conn=self.name("conn")))
        self.settle()
        if before is not None:
            self.old.append(before)
            assert before.conn_id in self.house.closed
            self.leave(before.conn_id)
            assert self.house.nodes.connections.session(node) is not before

    @rule(node=nodes, is_deaf=st.booleans())
    def stop_reading(self, node: str, is_deaf: bool) -> None:
        session = self.house.nodes.connections.session(node)
        if session is not None:
            (self.house.deaf.add if is_deaf else self.house.deaf.discard)(session.conn_id)

    @rule(request=requests)
    def caller_leaves(self, request: dict[str, Any]) -> None:
        self.leave(request["caller"])
        self.settle()
        assert request["key"] not in self.asked or self.asked[request["key"]][2] == ConnId("")

    @rule(request=requests)
    def cancel(self, request: dict[str, Any]) -> None:
        if request["key"] in self.asked:
            self.asked[request["key"]][0].cancel()
            self.settle()
            assert request["key"] not in self.asked

    @rule(node=nodes)
    def time_runs_out(self, node: str) -> None:
        key = self.name("key")
        if (session := self.house.nodes.connections.session(node)) is None:
            return
        order = Order(command=WHICH, subject="me", key=key, timeout_ms=1)
        task = self.loop.create_task(self.house.nodes.invoke(node, order))
        self.asked[key] = (task, session, ConnId(""))
        self.run(asyncio.wait([task], timeout=20))
        self.settle()
        assert key not in self.asked

    @rule()
    def die_and_start(self) -> None:
        self.settle()
        self.store.dead = True
        for task, _, _ in self.asked.values():
            task.cancel()
            with contextlib.suppress(BaseException):
                self.run(task)
        self.asked.clear()
        self.run(self.house.tasks.stop())
        self.old.clear()
        self.open_gateway()

    @invariant()
    def nobody_is_told_twice(self) -> None:
        assert all(count == 1 for count in self.told.values())

    def teardown(self) -> None:
        for node in NODES:
            self.disconnect(node)
        self.settle()
        assert self.asked == {}
        assert len(self.house.nodes.invokes) == 0
        self.run(self.house.tasks.stop())
        assert self.house.failures == []
        self.memory.close()
        self.loop.close()


TestInvokes = Machine.TestCase
