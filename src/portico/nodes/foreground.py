"""Commands a phone refused because nobody looks at it: they wait until somebody does.

Guarantees: they outlive the gateway, are bounded per node, and gone after ten minutes. A command
waits until the node says that it is done (`node.pending.ack`), and is never shown to it again
afterwards.

Source: OpenClaw gateway protocol, "node.pending.pull", "node.pending.ack".
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from portico.clock import Clock
from portico.ids import new_uuid
from portico.nodes import waiting
from portico.nodes.invoking import NodeFailed, Order
from portico.nodes.model import About
from portico.nodes.waiting import Waiting
from portico.protocol.errors import Unavailable
from portico.store import Store

TTL_MS = 600_000
MAX_PARAMS_BYTES = 1_048_576
_PREFIXES = ("canvas.", "camera.", "screen.", "talk.")


def is_for_foreground(about: About, command: str, error: NodeFailed) -> bool:
    """Whether a command failed only because the node is in the background."""
    platform = (about.platform or "").lower()
    return (
        platform.startswith(("ios", "ipados"))
        and command.startswith(_PREFIXES)
        and "BACKGROUND_UNAVAILABLE" in error.message.upper()
    )


class Foreground:
    """What waits for which node."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def queued(self, node_id: str, order: Order, error: NodeFailed) -> Unavailable:
        """Let a command wait; return what its caller is told."""
        item = self._item(node_id, order)
        if len(item.params or "") > MAX_PARAMS_BYTES:
            return error
        put = await self._store.write(waiting.put, item, replaces_oldest=True)
        if put.item is None:
            return error
        return Unavailable(
            "node command queued until iOS returns to foreground",
            details={
                "code": "QUEUED_UNTIL_FOREGROUND",
                "queuedActionId": put.item.id,
                "nodeId": node_id,
                "command": order.command,
                "nodeError": error.details["nodeError"],
            },
            retryable=True,
        )

    def _item(self, node_id: str, order: Order) -> Waiting:
        now = self._clock.now_ms()
        has_params = order.params is not None
        same = None
        if order.key is not None:
            same = msgspec.json.encode((order.subject, order.key)).decode()
        return Waiting(
            id=new_uuid(),
            node_id=node_id,
            queue="command",
            name=order.command,
            params=msgspec.json.encode(order.params).decode() if has_params else None,
            same=same,
            created_at=now,
            expires_at=now + TTL_MS,
        )

    async def waiting(self, node_id: str, *, usable: Collection[str]) -> list[dict[str, Any]]:
        """Return what a node should do now, the oldest first."""
        found = await self._store.read(waiting.commands, node_id, now=self._clock.now_ms())
        return [
            {
                "id": item.id,
                "command": item.name,
                "paramsJSON": item.params,
                "enqueuedAtMs": item.created_at,
            }
            for item in found
            if item.name in usable
        ]

    async def ack(self, node_id: str, ids: Collection[str]) -> tuple[list[str], int]:
        """Forget what is done; return that, and how much is left."""
        return await self._store.write(
            waiting.acknowledge, node_id, frozenset(ids), now=self._clock.now_ms()
        )
