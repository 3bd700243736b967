"""Asking for more while connected: a device waits until somebody decides about its request.

Guarantees: only the device that asked learns the answer, and its token; a wait ends with the
request's own end at the latest; waiting survives a restart of the gateway as long as the request
does. What was decided is remembered for a while, so that who asks late hears it as well; at most
so many decisions.

Source: OpenClaw gateway protocol, "device.scopes.requestUpgrade", "device.scopes.waitUpgrade".
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Literal

from portico.auth.devices import DeviceChange, Devices
from portico.auth.rows import PairingRow
from portico.clock import Clock
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Role, expand

MOST_REMEMBERED = 500
LOOK_S = 2.0  # another process may have decided
Decision = Literal["approved", "rejected", "expired"]


@dataclass(slots=True)
class _Asked:
    request: PairingRow
    decision: Decision | None = None
    decided: asyncio.Event = field(default_factory=asyncio.Event)


class ScopeUpgrades:
    """The requests of connected devices."""

    def __init__(self, *, devices: Devices, clock: Clock) -> None:
        self._devices = devices
        self._clock = clock
        self._asked: OrderedDict[str, _Asked] = OrderedDict()

    async def request(
        self, device_id: str, scopes: tuple[str, ...], *, remote_ip: str | None
    ) -> str:
        """Ask for scopes on behalf of a device; returns the request's id.

        Raises:
            InvalidRequest: the device is not paired.
            Unavailable: too many requests wait.
        """
        known = await self._devices.find(device_id)
        if known is None:
            raise device_required()
        wish = self._devices.upgrade(known, Role.OPERATOR, scopes, remote_ip=remote_ip)
        request = await self._devices.request(wish)
        self._remember(request)
        return request.request_id

    async def wait(self, request_id: str, device_id: str) -> dict[str, Any]:
        """Return the decision, once there is one.

        Raises:
            InvalidRequest: the device has no such request.
        """
        asked = await self._find(request_id, device_id)
        while asked.decision is None:
            try:
                async with asyncio.timeout(LOOK_S):
                    await asked.decided.wait()
            except TimeoutError:
                asked.decision = await self._look(asked.request)
        if asked.decision != "approved":
            return {"status": asked.decision, "requestId": request_id}
        return await self._approved(asked.request)

    async def heard(self, change: DeviceChange) -> None:
        """Take note of a decision."""
        asked = self._asked.get(change.request_id or "")
        if asked is not None and change.kind in {"approved", "rejected"}:
            asked.decision = "approved" if change.kind == "approved" else "rejected"
            asked.decided.set()

    async def _find(self, request_id: str, device_id: str) -> _Asked:
        asked = self._asked.get(request_id)
        if asked is None:
            request = await self._devices.find_request(request_id)
            if request is not None:
                asked = self._asked.get(request_id) or self._remember(request)
        if asked is None or asked.request.device_id != device_id:
            raise InvalidRequest("scope upgrade expired or not found")
        return asked

    def _remember(self, request: PairingRow) -> _Asked:
        asked = self._asked.pop(request.request_id, None) or _Asked(request)
        asked.request = request
        self._asked[request.request_id] = asked
        while len(self._asked) > MOST_REMEMBERED:
            _, oldest = self._asked.popitem(last=False)
            oldest.decision = oldest.decision or "expired"
            oldest.decided.set()
        return asked

    async def _look(self, request: PairingRow) -> Decision | None:
        waiting = await self._devices.find_request(request.request_id)
        if waiting is not None:
            return None
        if await self._holds(request):
            return "approved"
        over = self._clock.now_ms() >= request.expires_at
        return "expired" if over else "rejected"

    async def _holds(self, request: PairingRow) -> bool:
        known = await self._devices.find(request.device_id)
        held = known.token(request.role) if known else None
        return held is not None and set(request.scopes) <= expand(list(held.scopes))

    async def _approved(self, request: PairingRow) -> dict[str, Any]:
        known = await self._devices.find(request.device_id)
        held = known.token(request.role) if known else None
        if held is None:  # approved, and taken away again
            return {"status": "rejected", "requestId": request.request_id}
        issued = await self._devices.reissue(held)
        return {
            "status": "approved",
            "requestId": request.request_id,
            "deviceToken": issued.token,
            "scopes": list(issued.scopes)[:8],
        }


def device_required() -> InvalidRequest:
    """The refusal of a connection that has no paired device behind it."""
    return InvalidRequest(
        "device scope upgrade requires a paired browser identity;"
        " reopen the Control UI over HTTPS or localhost, then retry",
        details={
            "code": "DEVICE_IDENTITY_REQUIRED",
            "recommendedNextStep": "reopen_control_ui_securely",
        },
    )
