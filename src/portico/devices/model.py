"""What this room hands to others, and asks of them.

`NodeBook` is what the room of nodes keeps: it is told what happens to devices of role `node`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from portico.auth.model import Principal
from portico.auth.rows import ApprovedVia


class NodeBook(Protocol):
    """Hears what happens to devices of role `node`.

    Told after the change is on disk, and awaited before the device (or whoever made the change)
    gets its answer. A crash in between loses the call, never the change: what must not be missed
    has to be read again when the node connects (`auth.devices.Devices.find`). In particular, a
    node whose device has `approved_via == "bootstrap"` came by a setup code: what it can do
    needs no second approval the first time it says so.
    """

    async def device_approved(self, device_id: str, *, via: ApprovedVia) -> None:
        """The device may connect as a node; `via="bootstrap"` approves what it offers as well."""
        ...

    async def device_removed(self, device_id: str) -> None:
        """The device is forgotten, and with it the node."""
        ...

    async def device_revoked(self, device_id: str) -> None:
        """The device may not connect as a node any more; it is still known."""
        ...

    async def device_renamed(self, device_id: str, label: str) -> None:
        """The device is shown under another name."""
        ...


class Connections(Protocol):
    """The connections of this process, as far as this room needs them."""

    def connected_devices(self) -> Collection[str]:
        """Return the devices that are connected."""
        ...

    def principals(self) -> Collection[Principal]:
        """Return who is connected."""
        ...

    def close_device(
        self, device_id: str, *, role: str | None, keep: Principal | None = None
    ) -> None:
        """Close what a device has open.

        Args:
            role: in this role only; `None`: in every role.
            keep: not this connection.
        """
        ...
