"""The room of nodes on a store, with connections that note what they are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from portico.audit.service import Audit
from portico.auth.model import Principal
from portico.clock import Clock
from portico.ids import ConnId
from portico.nodes.service import Nodes
from portico.nodes.session import Session
from portico.nodes.settings import NodeSettings
from portico.observe.metrics import Metrics
from portico.protocol.connect import ConnectParams
from portico.protocol.scopes import Role, expand
from portico.store import Store
from portico.tasks import Tasks

ADMIN = ("operator.admin",)


@dataclass
class NodeHouse:
    """The room, and everything it told whom."""

    store: Store
    clock: Clock
    settings: NodeSettings = field(default_factory=NodeSettings)
    published: list[tuple[str, Any]] = field(default_factory=list)
    told: list[tuple[ConnId, str, Any]] = field(default_factory=list)
    closed: list[ConnId] = field(default_factory=list)
    deaf: set[ConnId] = field(default_factory=set)
    by_code: set[str] = field(default_factory=set)
    failures: list[BaseException] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.tasks = Tasks(lambda _name, error: self.failures.append(error))
        self.audit = Audit(self.store, clock=self.clock)
        self.nodes = Nodes(
            audit=self.audit,
            store=self.store,
            clock=self.clock,
            tasks=self.tasks,
            publish=lambda name, payload: self.published.append((name, payload)),
            tell=self._tell,
            close=lambda conn_id, _why: self.closed.append(conn_id),
            devices=self,
            settings=lambda: self.settings,
            metrics=self.metrics,
        )

    def _tell(self, conn_id: ConnId, name: str, payload: Any) -> bool:
        if conn_id in self.deaf:
            return False
        msgspec.json.encode(payload)  # as the wire would
        self.told.append((conn_id, name, payload))
        return True

    async def forget(self, device_id: str, by: Principal) -> bool:
        return True

    async def came_by_code(self, device_id: str) -> bool:
        return device_id in self.by_code

    async def rename(self, device_id: str, name: str, by: Principal) -> None:
        return

    async def has_token(self, device_id: str, token: str) -> bool:
        return token == f"token of {device_id}"

    async def connect(
        self,
        node_id: str,
        *commands: str,
        conn: str = "",
        caps: tuple[str, ...] = ("system",),
        platform: str = "linux",
        permissions: dict[str, bool] | None = None,
    ) -> Session:
        params = connecting(*commands, caps=caps, platform=platform, permissions=permissions)
        conn_id = ConnId(conn or f"{node_id}-{len(self.told)}-{len(self.published)}")
        arrival = await self.nodes.connections.expect(conn_id, params, node_principal(node_id))
        assert arrival is not None
        self.nodes.connections.connected(arrival)
        return arrival.session

    async def approved(self, node_id: str, *commands: str, **how: Any) -> Session:
        """Connect a node and approve whatever it asks."""
        session = await self.connect(node_id, *commands, **how)
        if session.row.asked is not None:
            await self.nodes.pairing.approve(session.row.asked.request_id, operator(*ADMIN))
        return session

    def events(self, name: str) -> list[Any]:
        return [payload for event, payload in self.published if event == name]

    def requests(self, conn_id: ConnId | None = None) -> list[dict[str, Any]]:
        """The commands that were sent, in order."""
        return [
            payload
            for to, name, payload in self.told
            if name == "node.invoke.request" and conn_id in {None, to}
        ]

    def cancels(self) -> list[str]:
        return [p["invokeId"] for _, name, p in self.told if name == "node.invoke.cancel"]


def connecting(
    *commands: str,
    caps: tuple[str, ...] = ("system",),
    platform: str = "linux",
    permissions: dict[str, bool] | None = None,
) -> ConnectParams:
    params: dict[str, Any] = {
        "minProtocol": 4,
        "maxProtocol": 4,
        "client": {
            "id": "node-host",
            "mode": "node",
            "version": "1",
            "platform": platform,
            "displayName": "a node",
        },
        "role": "node",
        "caps": list(caps),
        "commands": list(commands),
    }
    if permissions is not None:
        params["permissions"] = permissions
    return msgspec.convert(params, ConnectParams)


def node_principal(node_id: str, *, local: bool = True) -> Principal:
    return Principal(
        role=Role.NODE,
        granted=(),
        scopes=frozenset(),
        method="token",
        subject=node_id,
        client_id="node-host",
        client_mode="node",
        device_id=node_id,
        ip="127.0.0.1",
        local=local,
    )


def operator(*scopes: str, device_id: str | None = None) -> Principal:
    return Principal(
        role=Role.OPERATOR,
        granted=scopes,
        scopes=expand(list(scopes)),
        method="token",
        subject=device_id or "cli",
        device_id=device_id,
    )
