"""Devices the gateway knows, what each may do, and those that ask to be let in.

Guarantees: a device token is stored as a hash only. It is derived from the gateway's secret, so a
device that proves itself again gets the same token back; when the secret has changed it gets a new
one. An approval is one transaction: the device, its role and the end of its request.

Source: OpenClaw gateway protocol, "Device pairing".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from portico.auth import queries
from portico.auth.queries import DeviceRow, Known, PairingRow, TokenRow
from portico.clock import Clock
from portico.ids import new_id
from portico.protocol.connect import ConnectParams
from portico.protocol.errors import InvalidRequest
from portico.store import Store

REQUEST_TTL_MS = 300_000
SEEN_EVERY_MS = 60_000
ApprovedVia = Literal["owner", "silent"]
PairingReason = Literal["not-paired", "role-upgrade", "scope-upgrade", "metadata-upgrade"]
Publish = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A device token as its device is handed it."""

    token: str
    role: str
    scopes: tuple[str, ...]
    issued_at_ms: int


def hash_token(token: str) -> str:
    """Return the form in which a token is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


class Devices:
    """The device book."""

    def __init__(self, store: Store, clock: Clock, publish: Publish, *, secret: str | None) -> None:
        """Open the book.

        Args:
            publish: told of `device.pair.requested` and `device.pair.resolved`.
            secret: the gateway's shared secret; without one, tokens last as long as the process.
        """
        self._store = store
        self._clock = clock
        self._publish = publish
        self._key = b""
        self.configure(secret=secret)

    def configure(self, *, secret: str | None) -> None:
        """Use another shared secret from now on."""
        seed = secret.encode() if secret else secrets.token_bytes(32)
        self._key = hashlib.sha256(b"portico device token\0" + seed).digest()

    async def find(self, device_id: str) -> Known | None:
        """Return an approved device, or `None`."""
        return await self._store.read(queries.find_known, device_id)

    async def list_approved(self) -> list[Known]:
        """Return every approved device, the oldest first."""
        return await self._store.read(queries.list_known)

    async def list_pending(self) -> list[PairingRow]:
        """Return the requests that wait for an answer."""
        return await self._store.read(queries.list_requests, self._clock.now_ms())

    def wish(
        self,
        params: ConnectParams,
        public_key: str,
        scopes: tuple[str, ...],
        reason: PairingReason,
        *,
        remote_ip: str | None,
    ) -> PairingRow:
        """Put into words what a device that proved itself asks for."""
        client, now = params.client, self._clock.now_ms()
        about = {
            "displayName": client.display_name,
            "platform": client.platform,
            "deviceFamily": client.device_family,
            "clientId": client.id,
            "clientMode": client.mode,
        }
        return PairingRow(
            request_id=new_id("pair"),
            device_id=params.device.id if params.device else "",
            public_key=public_key,
            role=params.role,
            scopes=scopes,
            reason=reason,
            client={name: value for name, value in about.items() if value},
            remote_ip=remote_ip,
            created_at=now,
            expires_at=now + REQUEST_TTL_MS,
        )

    async def request(self, wish: PairingRow) -> PairingRow:
        """Remember that a device asks; asking again refreshes its request."""
        request = await self._store.write(queries.put_request, wish)
        self._publish("device.pair.requested", pending_record(request))
        return request

    async def approve(self, request_id: str) -> Known:
        """Let in the device that asked.

        Raises:
            InvalidRequest: there is no such request (any more).
        """
        request = await self._find_request(request_id)
        await self.let_in(request, via="owner")
        known = await self.find(request.device_id)
        assert known is not None  # noqa: S101 - it was just written
        return known

    async def let_in(self, request: PairingRow, *, via: ApprovedVia) -> IssuedToken:
        """Approve what a request asks for, in addition to what the device already has."""
        now = self._clock.now_ms()
        known = await self.find(request.device_id)
        held = known.token(request.role) if known else None
        scopes = tuple(dict.fromkeys((*(held.scopes if held else ()), *request.scopes)))
        issued, row = self._issue(request.device_id, request.role, scopes, held, now)
        device = DeviceRow(
            device_id=request.device_id,
            public_key=request.public_key,
            display_name=request.client.get("displayName"),
            platform=request.client.get("platform"),
            device_family=request.client.get("deviceFamily"),
            client_id=request.client.get("clientId"),
            client_mode=request.client.get("clientMode"),
            approved_via=via,
            approved_at=now,
            last_seen_at=None,
        )
        await self._store.write(queries.put_approved, device, row, request.request_id, now)
        if via == "owner":
            self._resolved(request, "approved")
        return issued

    async def reject(self, request_id: str) -> PairingRow:
        """Refuse the device that asked.

        Raises:
            InvalidRequest: there is no such request (any more).
        """
        request = await self._find_request(request_id)
        await self._store.write(queries.drop_request, request_id, self._clock.now_ms())
        self._resolved(request, "rejected")
        return request

    async def remove(self, device_id: str) -> bool:
        """Forget a device; `False` when there is no such device."""
        return await self._store.write(queries.remove, device_id)

    async def rename(self, device_id: str, name: str) -> bool:
        """Give a device another name; `False` when there is no such device."""
        return await self._store.write(queries.rename, device_id, name)

    async def rotate(
        self, device_id: str, role: str, scopes: tuple[str, ...] | None = None
    ) -> IssuedToken | None:
        """Replace a device's token; `None` when it does not hold the role."""
        known = await self.find(device_id)
        held = known.token(role) if known else None
        if held is None:
            return None
        now = max(self._clock.now_ms(), held.issued_at + 1)  # never the same token again
        issued, row = self._issue(device_id, role, scopes or held.scopes, held, now)
        await self._store.write(queries.put_token, row)
        return issued

    async def revoke(self, device_id: str, role: str) -> bool:
        """Take a role from a device; `False` when it does not hold it."""
        return await self._store.write(queries.revoke_token, device_id, role, self._clock.now_ms())

    async def reissue(self, held: TokenRow) -> IssuedToken:
        """Hand a device that proved itself its token again."""
        token = self._derive(held.device_id, held.role, held.issued_at)
        if hmac.compare_digest(hash_token(token), held.token_hash):
            return IssuedToken(token, held.role, held.scopes, held.issued_at)
        rotated = await self.rotate(held.device_id, held.role)
        return rotated or IssuedToken(token, held.role, held.scopes, held.issued_at)

    async def seen(self, known: Known, role: str) -> None:
        """Note that a device is here, at most once a minute."""
        now = self._clock.now_ms()
        if now - (known.device.last_seen_at or 0) >= SEEN_EVERY_MS:
            await self._store.write(queries.touch, known.device.device_id, role, now)

    async def _find_request(self, request_id: str) -> PairingRow:
        found = await self._store.read(queries.find_request, request_id, self._clock.now_ms())
        if found is None:
            raise InvalidRequest("unknown requestId")
        return found

    def _issue(
        self, device_id: str, role: str, scopes: tuple[str, ...], held: TokenRow | None, now: int
    ) -> tuple[IssuedToken, TokenRow]:
        token = self._derive(device_id, role, now)
        row = TokenRow(
            device_id=device_id,
            role=role,
            token_hash=hash_token(token),
            scopes=scopes,
            created_at=held.created_at if held else now,
            rotated_at=now,
            revoked_at=None,
            last_used_at=held.last_used_at if held else None,
        )
        return IssuedToken(token, role, scopes, now), row

    def _derive(self, device_id: str, role: str, issued_at: int) -> str:
        text = f"{device_id}|{role}|{issued_at}"
        digest = hmac.digest(self._key, text.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def _resolved(self, request: PairingRow, decision: Literal["approved", "rejected"]) -> None:
        self._publish(
            "device.pair.resolved",
            {
                "requestId": request.request_id,
                "deviceId": request.device_id,
                "decision": decision,
                "ts": self._clock.now_ms(),
            },
        )


def pending_record(request: PairingRow) -> dict[str, Any]:
    """Return a request as it is shown: in events and in `device.pair.list`."""
    record: dict[str, Any] = {
        "requestId": request.request_id,
        "deviceId": request.device_id,
        "publicKey": request.public_key,
        **request.client,
        "role": request.role,
        "roles": [request.role],
        "scopes": list(request.scopes),
        "isRepair": request.reason != "not-paired",
        "ts": request.created_at,
    }
    if request.remote_ip:
        record["remoteIp"] = request.remote_ip
    return record


def paired_record(known: Known, *, connected: bool) -> dict[str, Any]:
    """Return an approved device as `device.pair.list` shows it."""
    device = known.device
    active = [token for token in known.tokens if token.revoked_at is None]
    record: dict[str, Any] = {
        "deviceId": device.device_id,
        "publicKey": device.public_key,
        "displayName": device.display_name,
        "platform": device.platform,
        "clientId": device.client_id,
        "clientMode": device.client_mode,
        "approvedVia": device.approved_via,
        "approvedAtMs": device.approved_at,
        "lastSeenAtMs": device.last_seen_at,
        "role": active[0].role if active else None,
    }
    return {
        **{name: value for name, value in record.items() if value is not None},
        "roles": [token.role for token in active],
        "scopes": list(dict.fromkeys(scope for token in active for scope in token.scopes)),
        "connected": connected,
        "tokens": [_token_record(token) for token in known.tokens],
    }


def _token_record(token: TokenRow) -> dict[str, Any]:
    record: dict[str, Any] = {
        "role": token.role,
        "scopes": list(token.scopes),
        "createdAtMs": token.created_at,
        "rotatedAtMs": token.rotated_at,
        "revokedAtMs": token.revoked_at,
        "lastUsedAtMs": token.last_used_at,
    }
    return {name: value for name, value in record.items() if value is not None}
