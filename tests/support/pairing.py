"""The room of devices on a control plane of tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from portico.audit.service import Audit
from portico.auth.rows import ApprovedVia
from portico.devices.join import JoinLinks
from portico.devices.patrol import Patrol
from portico.devices.rpc import DeviceMethods, ScopeMethods
from portico.devices.rpc_setup import SetupMethods
from portico.devices.service import Aftermath
from portico.devices.setup import Reach, SetupDesk
from portico.devices.upgrades import ScopeUpgrades
from portico.wiring.devices import PlaneConnections
from tests.fakes.control_plane import Device, Plane, running_plane

REMOTE = {"X-Forwarded-For": "203.0.113.9"}  # not direct, so not local
NODE = {"id": "node-host", "version": "1", "platform": "linux", "mode": "node"}


class Nodes:
    """Keeps what the room of nodes is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, ...]] = []

    async def device_approved(self, device_id: str, *, via: ApprovedVia) -> None:
        self.heard.append(("approved", device_id, via))

    async def device_removed(self, device_id: str) -> None:
        self.heard.append(("removed", device_id))

    async def device_revoked(self, device_id: str) -> None:
        self.heard.append(("revoked", device_id))

    async def device_renamed(self, device_id: str, label: str) -> None:
        self.heard.append(("renamed", device_id, label))


class PairingPlane:
    """A control plane with the methods of devices."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.nodes = Nodes()
        self.audit = Audit(plane.store, clock=plane.clock)
        connections = PlaneConnections(lambda: plane.plane)
        aftermath = Aftermath(connections=connections, audit=self.audit, nodes=self.nodes)
        upgrades = ScopeUpgrades(devices=plane.devices, clock=plane.clock)
        plane.devices.listen(aftermath.heard)
        plane.devices.listen(upgrades.heard)
        self.links = JoinLinks(plane.store, plane.clock)
        desk = SetupDesk(
            bootstrap=plane.devices.bootstrap,
            links=self.links,
            whereabouts=self,
            secret_kind=lambda: plane.authenticator.settings.secret_kind,
            has_tls=lambda: True,
        )
        self.patrol = Patrol(devices=plane.devices, connections=connections)
        for feature in (
            DeviceMethods(devices=plane.devices, connections=connections),
            ScopeMethods(upgrades),
            SetupMethods(desk=desk, bootstrap=plane.devices.bootstrap, audit=self.audit),
        ):
            plane.registry.add(feature)

    def reach(self, *, prefer_remote: bool) -> Reach:
        return Reach("wss://gateway.example", "test")

    def fingerprint_at(self, url: str) -> str | None:
        return "ab" * 32 if url == "wss://192.168.1.5:18789" else None

    async def try_in(self, device: Device, *, remote: bool = True, **changes: Any) -> Any:
        """Connect once; return `hello.auth`, or the error."""
        headers = REMOTE if remote else {}
        async with self.plane.socket(additional_headers=headers) as client:
            answer = await client.request("connect", device.params(client.nonce, **changes))
            return answer["payload"]["auth"] if answer["ok"] else answer["error"]

    @asynccontextmanager
    async def device(
        self, device: Device, *, remote: bool = True, **changes: Any
    ) -> AsyncIterator[Any]:
        """Stay connected as a device."""
        headers = REMOTE if remote else {}
        async with self.plane.socket(additional_headers=headers) as client:
            answer = await client.request("connect", device.params(client.nonce, **changes))
            assert answer["ok"], answer
            client.hello = answer["payload"]
            yield client


@asynccontextmanager
async def pairing_plane(folder: Path, **options: Any) -> AsyncIterator[PairingPlane]:
    """Run a control plane with the methods of devices."""
    async with running_plane(folder, **options) as plane:
        yield PairingPlane(plane)
