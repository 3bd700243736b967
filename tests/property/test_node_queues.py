"""What waits for nodes under any schedule, with a gateway that dies at any commit and comes back.

What must hold: what was promised to wait does, until it is given, done, or too old; work is given
once; a command that is done is never shown again; the same thing waits once; queues are bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from portico.nodes import store as node_store
from portico.nodes import waiting
from portico.nodes.foreground import TTL_MS, Foreground
from portico.nodes.invoking import NodeFailed, Order
from portico.nodes.life import InvokeState
from portico.nodes.model import NOBODY, NodeRow
from portico.nodes.work import Priority, WaitingWork, WorkKind
from tests.support.clock import FakeClock
from tests.support.memory import Dead, Memory, OwnedStore

NODES = ("n1", "n2")
SNAP, SHOW = "camera.snap", "canvas.present"
NOT_NOW = NodeFailed("NODE_BACKGROUND_UNAVAILABLE", "not now", state=InvokeState.FAILED)
Cut = Literal["before", "after"] | None
nodes = st.sampled_from(NODES)
cuts: st.SearchStrategy[Cut] = st.sampled_from([None, None, "before", "after"])


@dataclass
class Item:
    """What should wait."""

    id: str
    name: str
    expires_at: int
    same: object = None
    is_urgent: bool = False


class Machine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.bound = mock.patch.object(waiting, "MAX_PER_QUEUE", 5)
        self.bound.start()
        self.memory = Memory()
        self.clock = FakeClock()
        self.work: dict[str, list[Item]] = {node: [] for node in NODES}
        self.commands: dict[str, list[Item]] = {node: [] for node in NODES}
        self.over: set[str] = set()  # given or done
        self.open_gateway()
        for node in NODES:
            row = NodeRow(node_id=node, about=NOBODY, created_at=1)
            self.run(self.store.write(node_store.change, node, lambda _, row=row: row), None)

    def open_gateway(self) -> None:
        self.store = OwnedStore(self.memory)
        self.waiting_work = WaitingWork(self.store, self.clock)
        self.foreground = Foreground(self.store, self.clock)

    def run(self, work: Coroutine[Any, Any, Any], cut: Cut) -> Any:
        """Do something, or die at its commit and start again."""
        if cut is not None:
            self.store.die_in(0, cut)
        try:
            return self.loop.run_until_complete(work)
        except Dead:
            self.open_gateway()
            return None

    def fresh(self, queue: list[Item]) -> list[Item]:
        queue[:] = [item for item in queue if item.expires_at > self.clock.now_ms()]
        return queue

    def in_order(self, node: str) -> list[Item]:
        return sorted(self.fresh(self.work[node]), key=lambda item: not item.is_urgent)

    def rows(self) -> list[Any]:
        sql = "SELECT id FROM node_waiting WHERE expires_at > ?"
        return self.memory.select(sql, self.clock.now_ms())

    def unknown_id(self) -> str:
        """The id of what came into the database without anybody being told."""
        queues = [*self.work.values(), *self.commands.values()]
        known = {item.id for queue in queues for item in queue}
        (row,) = [row for row in self.rows() if row["id"] not in known]
        return str(row["id"])

    @rule(
        node=nodes,
        kind=st.sampled_from(["status.request", "location.request"]),
        priority=st.sampled_from(["normal", "high"]),
        ttl_ms=st.sampled_from([1_000, 60_000]),
        cut=cuts,
    )
    def leave_work(
        self, node: str, kind: WorkKind, priority: Priority, ttl_ms: int, cut: Cut
    ) -> None:
        queue = self.fresh(self.work[node])
        before = next((item for item in queue if item.same == kind), None)
        put = self.waiting_work.put(node, kind, priority=priority, ttl_ms=ttl_ms)
        left = self.run(put, cut)
        if left is not None:
            assert before is None or left.item.id == before.id, "it waits twice"
        if before is None and cut != "before":
            item_id = left.item.id if left is not None else self.unknown_id()
            until = self.clock.now_ms() + ttl_ms
            queue.append(Item(item_id, kind, until, kind, priority == "high"))

    @rule(node=nodes, count=st.integers(1, 3), cut=cuts)
    def drain(self, node: str, count: int, cut: Cut) -> None:
        expected = self.in_order(node)
        given = self.run(self.waiting_work.take(node, count), cut)
        if given is not None:
            assert [item.id for item in given.items] == [item.id for item in expected[:count]]
            assert given.has_more is (len(expected) > count)
            assert self.over.isdisjoint(item.id for item in given.items), "given twice"
        if cut != "before":
            for item in expected[:count]:
                self.work[node].remove(item)
                self.over.add(item.id)

    @rule(node=nodes, name=st.sampled_from([SNAP, SHOW]), key=st.integers(0, 8), cut=cuts)
    def refuse(self, node: str, name: str, key: int, cut: Cut) -> None:
        queue = self.fresh(self.commands[node])
        same = None if key == 0 else str(key)
        before = next((item for item in queue if same is not None and item.same == same), None)
        order = Order(command=name, params={"n": 1}, subject="cli", key=same)
        told = self.run(self.foreground.queued(node, order, NOT_NOW), cut)
        if told is not None:
            assert before is None or told.details["queuedActionId"] == before.id
        if before is None and cut != "before":
            item_id = told.details["queuedActionId"] if told is not None else self.unknown_id()
            del queue[: max(0, len(queue) + 1 - waiting.MAX_PER_QUEUE)]
            queue.append(Item(item_id, name, self.clock.now_ms() + TTL_MS, same))

    @rule(node=nodes, usable=st.sampled_from([(), (SNAP,), (SNAP, SHOW)]))
    def pull(self, node: str, usable: tuple[str, ...]) -> None:
        shown = self.run(self.foreground.waiting(node, usable=usable), None)
        expected = [item for item in self.fresh(self.commands[node]) if item.name in usable]
        assert [action["id"] for action in shown] == [item.id for item in expected]
        assert self.over.isdisjoint(action["id"] for action in shown), "done, and shown again"

    @rule(node=nodes, data=st.data(), cut=cuts)
    def acknowledge(self, node: str, data: st.DataObject, cut: Cut) -> None:
        queue = self.fresh(self.commands[node])
        known = [item.id for item in queue]
        ids = data.draw(st.lists(st.sampled_from([*known, "unknown"]), max_size=4, unique=True))
        acked = self.run(self.foreground.ack(node, ids), cut)
        done = [item_id for item_id in known if item_id in ids]
        if acked is not None:
            assert acked == (done, len(known) - len(done))
        if cut != "before":
            queue[:] = [item for item in queue if item.id not in done]
            self.over.update(done)

    @rule(seconds=st.sampled_from([1, 61, 601]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(cut=cuts)
    def sweep(self, cut: Cut) -> None:
        with contextlib.suppress(Dead):
            self.run(self.store.write(waiting.sweep, now=self.clock.now_ms()), cut)

    @rule()
    def die_and_start(self) -> None:
        self.store.dead = True
        self.open_gateway()

    @invariant()
    def what_is_promised_is_there(self) -> None:
        queues = [*self.work.values(), *self.commands.values()]
        assert {row["id"] for row in self.rows()} == {i.id for q in queues for i in self.fresh(q)}
        assert all(len(queue) <= waiting.MAX_PER_QUEUE for queue in queues)

    def teardown(self) -> None:
        self.bound.stop()
        self.memory.close()
        self.loop.close()


TestQueues = Machine.TestCase
