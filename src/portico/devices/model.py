"""What this room hands to others.

`NodeBook` is what the room of nodes keeps: it is told what happens to devices of role `node`.
"""

from __future__ import annotations

from typing import Literal, Protocol

ApprovedVia = Literal["owner", "silent", "trusted-cidr", "bootstrap", "trusted-proxy"]
"""Who let a device in: its owner, nobody (a program of this machine), its network, a setup code,
or a proxy that vouched for its user."""


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


class NoNodes:
    """Nobody keeps nodes."""

    async def device_approved(self, device_id: str, *, via: ApprovedVia) -> None:
        """Nothing depends on it."""

    async def device_removed(self, device_id: str) -> None:
        """Nothing depends on it."""

    async def device_revoked(self, device_id: str) -> None:
        """Nothing depends on it."""

    async def device_renamed(self, device_id: str, label: str) -> None:
        """Nothing depends on it."""
