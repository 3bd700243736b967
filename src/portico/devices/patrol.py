"""Ends connections whose devices have lost, at another process, what they came in with.

Theory of operation: a process closes the connections of its own at once (`service`). Those a device
has at other processes of the same database are looked after here, every few seconds.

Guarantees: only connections that live by a device token; at most one look at a time; a look that
fails is made again.
"""

from __future__ import annotations

import asyncio

import structlog

from portico.auth.devices import Devices
from portico.auth.model import Principal
from portico.auth.rows import Known
from portico.devices.model import Connections
from portico.protocol.scopes import expand

log = structlog.get_logger()

LOOK_S = 5.0


class Patrol:
    """Looks after the connections of this process."""

    def __init__(self, *, devices: Devices, connections: Connections) -> None:
        self._devices = devices
        self._connections = connections

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except Exception:  # the database is away; it is looked again
                log.warning("device.patrol_failed", exc_info=True)

    async def look(self) -> None:
        """Close what lives by a token that is no good any more."""
        present = [who for who in self._connections.principals() if who.is_device]
        if not present:
            return
        known = {one.device.device_id: one for one in await self._devices.list_approved()}
        for who in present:
            if who.device_id is not None and not _may_stay(who, known.get(who.device_id)):
                self._connections.close_device(who.device_id, role=who.role)


def _may_stay(who: Principal, known: Known | None) -> bool:
    held = known.token(who.role) if known is not None else None
    return held is not None and set(who.granted) <= expand(list(held.scopes))
