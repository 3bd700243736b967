"""Node hosts for tests: the real one, in this process, against a small gateway.

A `Desk` is the gateway's side: it asks the node and takes what it answers.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portico.client import ClientName, ClientSettings, Credentials, DeviceTokens
from portico.client.identity import load_or_create_identity
from portico.clock import SystemClock
from portico.config.sections.node_host import NodeHost as NodeHostSettings
from portico.node_host.build import build_host
from portico.node_host.children import Children
from tests.fakes.gateway import TOKEN, FakeGateway, Peer
from tests.support.waiting import eventually


@dataclass
class Desk:
    """What came from the node, and how to ask it."""

    gateway: FakeGateway
    results: list[dict[str, Any]] = field(default_factory=list)
    events: list[tuple[str, Any]] = field(default_factory=list)
    progress: list[dict[str, Any]] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        self.gateway.methods |= {
            "node.invoke.result": self._result,
            "node.invoke.progress": self._progress,
            "node.event": self._event,
        }

    async def _result(self, gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        self.results.append(request["params"])
        await peer.answer(request, {"ok": True})

    async def _progress(self, gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        self.progress.append(request["params"])
        await peer.answer(request, {"ok": True})

    async def _event(self, gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        said = request["params"]
        self.events.append((said["event"], json.loads(said["payloadJSON"])))
        await peer.answer(request, {"ok": True, "event": said["event"], "handled": True})

    async def send(self, command: str, params: Any = None, **more: Any) -> str:
        """Ask the node that came last; return the invoke's id."""
        self.number += 1
        invoke_id = str(more.pop("id", f"inv-{self.number}"))
        text = None if params is None else json.dumps(params)
        asked = {"id": invoke_id, "nodeId": "n", "command": command, "paramsJSON": text, **more}
        await self.say("node.invoke.request", asked)
        return invoke_id

    async def say(self, name: str, payload: dict[str, Any]) -> None:
        """Send an event to the node, over the connection it has now."""
        node = next(one for one in reversed(self.gateway.peers) if one.connect.role == "node")
        await node.send({"type": "event", "event": name, "payload": payload})

    async def result(self, invoke_id: str) -> dict[str, Any]:
        """Wait for what the node answers."""
        await eventually(lambda: any(one["id"] == invoke_id for one in self.results))
        return next(one for one in self.results if one["id"] == invoke_id)

    async def invoke(self, command: str, params: Any = None, **more: Any) -> Any:
        """Ask, and return the payload.

        Raises:
            NodeSaidNo: the node answered with an error.
        """
        answer = await self.result(await self.send(command, params, **more))
        if not answer["ok"]:
            raise NodeSaidNo(answer["error"]["code"], answer["error"]["message"])
        return json.loads(answer["payloadJSON"])

    def heard(self, name: str) -> list[Any]:
        """The payloads of the events of one name."""
        return [payload for event, payload in self.events if event == name]


class NodeSaidNo(Exception):
    """The node's error: its code, then its text."""


@asynccontextmanager
async def running_node(
    gateway: FakeGateway, home: Path, *, operator: bool = False, **settings: Any
) -> AsyncIterator[Desk]:
    """A node host that has come in. `settings`: its section `nodeHost`."""
    desk = Desk(gateway)
    home.mkdir(exist_ok=True)
    client = ClientSettings(
        url=gateway.url,
        credentials=Credentials(token=TOKEN),
        name=ClientName("node-host", "node"),
        role="node",
        scopes=(),
        device=load_or_create_identity(home / "identity" / "device.json"),
        tokens=DeviceTokens(home / "identity" / "device-tokens.json"),
        reconnect=True,
        keeps_trying=True,
        waits_for_approval=True,
        backoff_first_s=0.01,
        backoff_most_s=0.05,
    )
    asks = ClientSettings(
        url=gateway.url,
        credentials=Credentials(token=TOKEN),
        name=ClientName("gateway-client", "backend"),
        scopes=("operator.approvals",),
    )
    children = Children()
    host = build_host(
        NodeHostSettings.model_validate(settings),
        client=client,
        operator=asks if operator else None,
        folder=home / "node-host",
        policy_file=home / "exec-approvals.json",
        children=children,
        env={**os.environ, "PLANTED_SECRET": "s3cret", "HOME": str(home)},
        home=home,
        pid=os.getpid(),
        clock=SystemClock(),
    )
    task = asyncio.ensure_future(host.run())
    try:
        await eventually(lambda: bool(gateway.peers) or task.done())
        yield desk
    finally:
        task.cancel()
        await asyncio.wait([task])
        await children.close()
