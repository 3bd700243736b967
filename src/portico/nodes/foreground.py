"""Commands a phone refused because nobody looks at it: they wait until somebody does.

Guarantees: bounded per node, gone after ten minutes or with the gateway.

Source: OpenClaw gateway protocol, "node.pending.pull", "node.pending.ack".
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgspec

from portico.clock import Clock
from portico.ids import new_uuid
from portico.nodes.invoking import NodeFailed, Order
from portico.nodes.model import About
from portico.protocol.errors import Unavailable

TTL_MS = 600_000
MAX_PER_NODE = 64
_PREFIXES = ("canvas.", "camera.", "screen.", "talk.")


@dataclass(frozen=True, slots=True)
class _Action:
    action_id: str
    command: str
    params_json: str | None
    key: str | None
    at: int


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

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._actions: dict[str, list[_Action]] = {}

    def queued(self, node_id: str, order: Order, error: NodeFailed) -> Unavailable:
        """Let a command wait; return what its caller is told."""
        action = self._put(node_id, order)
        return Unavailable(
            "node command queued until iOS returns to foreground",
            details={
                "code": "QUEUED_UNTIL_FOREGROUND",
                "queuedActionId": action.action_id,
                "nodeId": node_id,
                "command": order.command,
                "nodeError": error.details["nodeError"],
            },
            retryable=True,
        )

    def _put(self, node_id: str, order: Order) -> _Action:
        waiting = self._fresh(node_id)
        for action in waiting:
            if order.key is not None and action.key == order.key:
                return action
        has_params = order.params is not None
        params = msgspec.json.encode(order.params).decode() if has_params else None
        now = self._clock.now_ms()
        action = _Action(new_uuid(), order.command, params, order.key, now)
        self._actions[node_id] = [*waiting, action][-MAX_PER_NODE:]
        return action

    def waiting(self, node_id: str, *, usable: Collection[str]) -> list[dict[str, Any]]:
        """Return what a node should do now, the oldest first."""
        return [
            {
                "id": action.action_id,
                "command": action.command,
                "paramsJSON": action.params_json,
                "enqueuedAtMs": action.at,
            }
            for action in self._fresh(node_id)
            if action.command in usable
        ]

    def ack(self, node_id: str, ids: Collection[str]) -> tuple[list[str], int]:
        """Forget what is done; return that, and how much is left."""
        waiting = self._fresh(node_id)
        left = [action for action in waiting if action.action_id not in ids]
        self._actions[node_id] = left
        if not left:
            del self._actions[node_id]
        return [action.action_id for action in waiting if action.action_id in ids], len(left)

    def _fresh(self, node_id: str) -> list[_Action]:
        oldest = self._clock.now_ms() - TTL_MS
        return [action for action in self._actions.get(node_id, []) if action.at > oldest]
