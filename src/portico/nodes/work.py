"""Work that operators leave for a node: it is taken when the node next asks for it.

Guarantees: it is committed before the operator is told, outlives the gateway, is bounded, and is
gone when it is too old. A node is given it once: what it is given does not wait any more, whether
or not the answer reaches it.

Source: OpenClaw gateway protocol, "node.pending.enqueue", "node.pending.drain".
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, cast

import msgspec

from portico.clock import Clock
from portico.ids import new_uuid
from portico.nodes import waiting
from portico.nodes.waiting import Waiting
from portico.protocol.errors import Overloaded
from portico.store import Store

DEFAULT_TTL_MS = 86_400_000
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


class Left(NamedTuple):
    """Work for a node, and how often its queues have changed."""

    item: WorkItem
    revision: int


class Given(NamedTuple):
    """What a node was given of its work."""

    items: list[WorkItem]
    has_more: bool
    revision: int


class WaitingWork:
    """The work of all nodes."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def put(self, node_id: str, kind: WorkKind, *, priority: Priority, ttl_ms: int) -> Left:
        """Queue work, or return what waits already of this kind.

        Raises:
            Overloaded: too much waits.
        """
        now = self._clock.now_ms()
        item = Waiting(
            id=new_uuid(),
            node_id=node_id,
            queue="work",
            name=kind,
            is_urgent=priority == "high",
            same=kind,
            created_at=now,
            expires_at=now + ttl_ms,
        )
        put = await self._store.write(waiting.put, item)
        if put.item is None:
            raise Overloaded
        return Left(_shown(put.item), put.revision)

    async def take(self, node_id: str, count: int) -> Given:
        """Take the most urgent, oldest work."""
        taken = await self._store.write(waiting.take, node_id, count, now=self._clock.now_ms())
        return Given([_shown(item) for item in taken.items], taken.has_more, taken.revision)


def _shown(item: Waiting) -> WorkItem:
    return WorkItem(
        id=item.id,
        type=cast("WorkKind", item.name),  # nothing else is put into this queue
        priority="high" if item.is_urgent else "normal",
        created_at_ms=item.created_at,
        expires_at_ms=item.expires_at,
    )
