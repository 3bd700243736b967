"""What follows when something happens to a device.

Its connections end, the nodes' book hears of it, and it is put on record.

Guarantees: every change is in the audit record. When a call that takes something from a device is
answered, no connection of this process still uses it; only the caller's own ends after its answer.

Source: OpenClaw gateway protocol, "Devices and approvals", "Close codes".
"""

from __future__ import annotations

import asyncio

from portico.audit.service import Audit
from portico.auth.devices import DeviceChange
from portico.devices.model import Connections, NodeBook
from portico.protocol.scopes import Role

_ENDS = frozenset({"removed", "revoked", "rotated"})


class Aftermath:
    """Listens to the device book.

    Args:
        audit: is told of every change.
        nodes: hears of devices of role `node`; `None`: nobody keeps nodes.
    """

    def __init__(
        self, *, connections: Connections, audit: Audit, nodes: NodeBook | None = None
    ) -> None:
        self._connections = connections
        self._audit = audit
        self._nodes = nodes

    async def heard(self, change: DeviceChange) -> None:
        """Do what follows from a change."""
        roles = (None,) if change.kind == "removed" else change.roles
        if change.kind in _ENDS:
            for role in roles:
                self._connections.close_device(change.device_id, role=role, keep=change.by)
        if self._nodes is not None and Role.NODE in change.roles:
            await self._tell_nodes(self._nodes, change)
        await self._audit.record(
            f"device.{change.kind}",
            actor=change.by.subject if change.by else "gateway",
            target=change.device_id,
            details=_details(change),
        )
        if change.kind in _ENDS:  # the caller's own, when its answer is on its way
            for role in roles:
                asyncio.get_running_loop().call_soon(self._close, change.device_id, role)

    def _close(self, device_id: str, role: str | None) -> None:
        self._connections.close_device(device_id, role=role)

    @staticmethod
    async def _tell_nodes(nodes: NodeBook, change: DeviceChange) -> None:
        match change.kind:
            case "approved" if change.via is not None:
                await nodes.device_approved(change.device_id, via=change.via)
            case "removed":
                await nodes.device_removed(change.device_id)
            case "revoked":
                await nodes.device_revoked(change.device_id)
            case "renamed":
                await nodes.device_renamed(change.device_id, change.label or "")
            case _:
                pass


def _details(change: DeviceChange) -> dict[str, object]:
    said = {
        "roles": change.roles,
        "scopes": change.scopes,
        "via": change.via,
        "requestId": change.request_id,
        "label": change.label,
    }
    return {name: value for name, value in said.items() if value}
