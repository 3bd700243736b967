"""Work that waits for a node: it is taken when the node next asks for it.

Guarantees: bounded; what is too old is gone. It lives in memory: a restart of the gateway empties
the queue.

Source: OpenClaw gateway protocol, "node.pending.enqueue", "node.pending.drain".
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

import msgspec

from portico.clock import Clock
from portico.ids import new_uuid
from portico.protocol.errors import Overloaded

DEFAULT_TTL_MS = 600_000
MAX_PER_NODE = 64
MAX_NODES = 1_000
WorkKind = Literal["status.request", "location.request"]
Priority = Literal["default", "normal", "high"]


class WorkItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Something a node is to do when it is there."""

    id: str
    type: WorkKind
    priority: Priority
    created_at_ms: int
    expires_at_ms: int | None = None
    payload: dict[str, Any] | None = None


class WaitingWork:
    """The queues of all nodes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._items: OrderedDict[str, list[WorkItem]] = OrderedDict()
        self._revisions: dict[str, int] = {}

    def put(self, node_id: str, kind: WorkKind, *, priority: Priority, ttl_ms: int) -> WorkItem:
        """Queue work, or return what waits already of this kind.

        Raises:
            Overloaded: too much waits.
        """
        waiting = self._fresh(node_id)
        for item in waiting:
            if item.type == kind:
                return item
        if len(waiting) >= MAX_PER_NODE or (node_id not in self._items and self._is_full()):
            raise Overloaded
        now = self._clock.now_ms()
        item = WorkItem(
            id=new_uuid(),
            type=kind,
            priority=priority,
            created_at_ms=now,
            expires_at_ms=now + ttl_ms,
        )
        self._items[node_id] = [*waiting, item]
        self._revisions[node_id] = self.revision(node_id) + 1
        return item

    def take(self, node_id: str, count: int) -> tuple[list[WorkItem], bool]:
        """Take the most urgent, oldest work; say whether there is more."""
        waiting = sorted(self._fresh(node_id), key=lambda one: (one.priority != "high",))
        taken, left = waiting[:count], waiting[count:]
        if left:
            self._items[node_id] = left
        else:
            self._items.pop(node_id, None)
        if taken:
            self._revisions[node_id] = self.revision(node_id) + 1
        return taken, bool(left)

    def revision(self, node_id: str) -> int:
        """How often the queue of a node has changed."""
        return self._revisions.get(node_id, 0)

    def _fresh(self, node_id: str) -> list[WorkItem]:
        now = self._clock.now_ms()
        return [one for one in self._items.get(node_id, []) if (one.expires_at_ms or now + 1) > now]

    def _is_full(self) -> bool:
        for node_id in list(self._items):
            if not self._fresh(node_id):
                del self._items[node_id]
                self._revisions.pop(node_id, None)
        return len(self._items) >= MAX_NODES
