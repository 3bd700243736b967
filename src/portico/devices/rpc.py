"""RPC methods of paired devices: `device.pair.*`, `device.token.*`, `device.scopes.*`.

Source: OpenClaw gateway protocol, "Devices and approvals".
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

import msgspec

from portico.auth.devices import Devices
from portico.auth.records import paired_record, pending_record
from portico.devices import rules
from portico.devices.model import Connections
from portico.devices.upgrades import ScopeUpgrades, device_required
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Role, Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Scopes = Annotated[tuple[NonEmpty, ...], msgspec.Meta(min_length=1, max_length=8)]


class RequestId(Params, frozen=True):
    """`{requestId}`."""

    request_id: NonEmpty


class DeviceIdParams(Params, frozen=True):
    """`{deviceId}`."""

    device_id: NonEmpty


class DeviceRename(Params, frozen=True):
    """`{deviceId, label}`."""

    device_id: NonEmpty
    label: Label


class TokenRotate(Params, frozen=True):
    """`{deviceId, role, scopes?}`; without scopes it may do what it may now."""

    device_id: NonEmpty
    role: NonEmpty
    scopes: tuple[NonEmpty, ...] | None = None


class TokenRevoke(Params, frozen=True):
    """`{deviceId, role}`."""

    device_id: NonEmpty
    role: NonEmpty


class UpgradeRequest(Params, frozen=True):
    """`{scopes}`: all the device is to hold, what it holds now included."""

    scopes: Scopes


class DeviceList(Result, frozen=True, omit_defaults=False):
    """Who asks, and who is paired."""

    pending: list[dict[str, Any]]
    paired: list[dict[str, Any]]


class DeviceApproved(Result, frozen=True):
    """The device that was let in."""

    request_id: str
    device: dict[str, Any]


class RequestRejected(Result, frozen=True):
    """The request that was refused."""

    request_id: str
    device_id: str


class DeviceRemoved(Result, frozen=True):
    """The device that is forgotten."""

    device_id: str


class DeviceRenamed(Result, frozen=True):
    """The device's new name."""

    device_id: str
    label: str


class TokenRotated(Result, frozen=True, kw_only=True, omit_defaults=False):
    """A new token; only its own device is handed it."""

    device_id: str
    role: str
    scopes: list[str]
    rotated_at_ms: int
    token_delivery: Literal["in-band", "withheld-cross-device"]
    token: str | msgspec.UnsetType = msgspec.UNSET


class TokenRevoked(Result, frozen=True):
    """The role that was taken away."""

    device_id: str
    role: str
    revoked_at_ms: int


class DeviceMethods:
    """`device.pair.*` and `device.token.*`."""

    def __init__(self, *, devices: Devices, connections: Connections) -> None:
        self._devices = devices
        self._connections = connections

    @method("device.pair.list", scope=Scope.PAIRING)
    async def list(self, call: Call, params: Empty) -> DeviceList:
        """List the devices that ask to be let in, and those that are paired.

        A caller that came with a device token and is no administrator sees its own device only.
        """
        caller = call.principal
        connected = self._connections.connected_devices()
        pending = await self._devices.list_pending()
        paired = await self._devices.list_approved()
        return DeviceList(
            pending=[
                pending_record(request)
                for request in pending
                if rules.may_see(caller, request.device_id)
            ],
            paired=[
                paired_record(known, connected=known.device.device_id in connected)
                for known in paired
                if rules.may_see(caller, known.device.device_id)
            ],
        )

    @method("device.pair.approve", scope=Scope.PAIRING)
    async def approve(self, call: Call, params: RequestId) -> DeviceApproved:
        """Let in a device that asks, or allow it more.

        Nobody can give what they do not hold; other roles than `operator` need an administrator.
        """
        known = await self._devices.approve(
            params.request_id.strip(),
            by=call.principal,
            check=partial(rules.check_approval, call.principal),
        )
        return DeviceApproved(params.request_id, paired_record(known))

    @method("device.pair.reject", scope=Scope.PAIRING)
    async def reject(self, call: Call, params: RequestId) -> RequestRejected:
        """Refuse a device that asks; it may ask again."""
        request = await self._devices.reject(
            params.request_id.strip(),
            by=call.principal,
            check=partial(rules.check_rejection, call.principal),
        )
        return RequestRejected(request.request_id, request.device_id)

    @method("device.pair.remove", scope=Scope.PAIRING)
    async def remove(self, call: Call, params: DeviceIdParams) -> DeviceRemoved:
        """Forget a device; its connections are closed, its tokens work no more."""
        caller, device_id = call.principal, params.device_id.strip()
        if not rules.may_see(caller, device_id):
            raise rules.denied("pairing removal")
        removed = await self._devices.remove(
            device_id,
            by=caller,
            check=lambda known: rules.check_change(caller, known, "pairing removal"),
        )
        if removed is None:
            raise InvalidRequest("unknown deviceId")
        return DeviceRemoved(device_id)

    @method("device.pair.rename", scope=Scope.PAIRING)
    async def rename(self, call: Call, params: DeviceRename) -> DeviceRenamed:
        """Give a device the name it is shown under."""
        caller, device_id, label = call.principal, params.device_id.strip(), params.label.strip()
        if not label:
            raise InvalidRequest("label required")
        if not rules.may_see(caller, device_id):
            raise rules.denied("pairing rename")
        renamed = await self._devices.rename(
            device_id,
            label,
            by=caller,
            check=lambda known: rules.check_change(caller, known, "pairing rename"),
        )
        if not renamed:
            raise InvalidRequest("unknown deviceId")
        return DeviceRenamed(device_id, label)

    @method("device.token.rotate", scope=Scope.PAIRING)
    async def rotate(self, call: Call, params: TokenRotate) -> TokenRotated:
        """Replace a device's token; the old one works no more and its connections are closed.

        The new one is handed to the device itself only. Another device gets its own when it
        proves itself with the gateway's secret.
        """
        caller, device_id, role = call.principal, params.device_id.strip(), params.role.strip()
        scopes = None if params.scopes is None else tuple(dict.fromkeys(params.scopes))
        issued = await self._devices.rotate(
            device_id,
            role,
            scopes,
            by=caller,
            check=lambda known: rules.check_token(
                caller, known, role, "token rotation", scopes=scopes
            ),
        )
        if issued is None:
            raise rules.denied("token rotation")
        is_own = caller.device_id == device_id
        return TokenRotated(
            device_id=device_id,
            role=role,
            scopes=list(issued.scopes),
            rotated_at_ms=issued.issued_at_ms,
            token_delivery="in-band" if is_own else "withheld-cross-device",
            token=issued.token if is_own else msgspec.UNSET,
        )

    @method("device.token.revoke", scope=Scope.PAIRING)
    async def revoke(self, call: Call, params: TokenRevoke) -> TokenRevoked:
        """Take a role from a device; its connections in this role are closed."""
        caller, device_id, role = call.principal, params.device_id.strip(), params.role.strip()
        revoked_at = await self._devices.revoke(
            device_id,
            role,
            by=caller,
            check=lambda known: rules.check_token(caller, known, role, "token revocation"),
        )
        if revoked_at is None:
            raise rules.denied("token revocation")
        return TokenRevoked(device_id, role, revoked_at)


class ScopeMethods:
    """`device.scopes.*`: open to every operator connection, whatever its scopes."""

    def __init__(self, upgrades: ScopeUpgrades) -> None:
        self._upgrades = upgrades

    @method("device.scopes.requestUpgrade", scope=None)
    async def request_upgrade(self, call: Call, params: UpgradeRequest) -> dict[str, str]:
        """Ask that this connection's device may do more; somebody has to approve it."""
        if len(set(params.scopes)) != len(params.scopes):
            raise InvalidRequest(
                "invalid device.scopes.requestUpgrade params:"
                " at /scopes: must NOT have duplicate items"
            )
        device_id = _device_of(call)
        rules.check_upgrade(call.principal, params.scopes)
        request_id = await self._upgrades.request(
            device_id, params.scopes, remote_ip=call.principal.ip
        )
        return {"requestId": request_id}

    @method("device.scopes.waitUpgrade", scope=None)
    async def wait_upgrade(self, call: Call, params: RequestId) -> dict[str, Any]:
        """Wait for the decision about this device's own request; approved, it has a new token."""
        return await self._upgrades.wait(params.request_id, _device_of(call))


def _device_of(call: Call) -> str:
    principal = call.principal
    if principal.role != Role.OPERATOR or principal.device_id is None:
        raise device_required()
    return principal.device_id
