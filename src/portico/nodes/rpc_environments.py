"""RPC methods that list where work can be done: this gateway, and the nodes it knows.

Not here: environments that are made for a session (cloud workers): there are none.

Source: OpenClaw gateway protocol, "environments.list", "environments.status".
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from portico.nodes.service import Nodes
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
GATEWAY = "gateway"
MAX_COMMANDS = 128


class EnvironmentsList(Params, frozen=True, kw_only=True):
    """`{runtimeId?, projection?, includeDesktopSetup?}`.

    `profiles` asks for what environments could be made of: nothing, here.
    """

    runtime_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    projection: Literal["profiles"] | None = None
    include_desktop_setup: bool = False


class OneEnvironment(Params, frozen=True):
    """`{environmentId}`."""

    environment_id: NonEmpty


class Environment(Result, frozen=True, kw_only=True):
    """The gateway, or a node."""

    id: str
    type: Literal["local", "node"]
    label: str
    status: Literal["available", "unavailable"]
    platform: str | None = None
    session_host: bool | None = None
    trust: Literal["persistent"] = msgspec.field(default="persistent")
    last_connected_at_ms: int | None = None
    last_disconnected_at_ms: int | None = None
    last_seen_at_ms: int | None = None
    last_seen_reason: str | None = None
    capabilities: list[str] | None = None
    invocable_commands: list[str] | None = None


class Environments(Result, frozen=True, omit_defaults=False):
    """Where work can be done: the gateway first."""

    environments: tuple[Environment, ...]


class EnvironmentMethods:
    """`environments.list`, `environments.status`."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    @method("environments.list", scope=Scope.READ)
    async def list(self, call: Call, params: EnvironmentsList) -> Environments:
        """List the gateway itself and the nodes it knows."""
        return Environments(tuple(await self._all()))

    @method("environments.status", scope=Scope.READ)
    async def status(self, call: Call, params: OneEnvironment) -> Environment:
        """Show one of them."""
        for one in await self._all():
            if one.id == params.environment_id:
                return one
        raise InvalidRequest(f"environment not found: {params.environment_id}")

    async def _all(self) -> Sequence[Environment]:
        entries = await self._nodes.directory.entries()
        return [_gateway(), *(_node(entry) for entry in entries)]


def _gateway() -> Environment:
    return Environment(
        id=GATEWAY,
        type="local",
        label="Gateway local",
        status="available",
        platform=sys.platform,
        session_host=True,
        capabilities=["agent.run", "sessions", "tools", "workspace"],
    )


def _node(entry: dict[str, Any]) -> Environment:
    return Environment(
        id=f"node:{entry['nodeId']}",
        type="node",
        label=entry.get("displayName") or entry["nodeId"],
        status="available" if entry["connected"] else "unavailable",
        platform=entry.get("platform") or None,
        last_connected_at_ms=entry.get("lastConnectedAtMs"),
        last_disconnected_at_ms=entry.get("lastDisconnectedAtMs"),
        last_seen_at_ms=entry.get("lastSeenAtMs"),
        last_seen_reason=entry.get("lastSeenReason") or None,
        capabilities=entry["caps"] or None,
        invocable_commands=entry["commands"][:MAX_COMMANDS] or None,
    )
