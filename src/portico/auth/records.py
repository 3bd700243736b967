"""Devices and requests as clients see them, in events and in `device.pair.list`."""

from __future__ import annotations

from typing import Any

from portico.auth.rows import Known, PairingRow, TokenRow


def pending_record(request: PairingRow) -> dict[str, Any]:
    """Return a request."""
    record: dict[str, Any] = {
        "requestId": request.request_id,
        "deviceId": request.device_id,
        "publicKey": request.public_key,
        **request.client,
        "role": request.role,
        "roles": [request.role],
        "scopes": list(request.scopes),
        "remoteIp": request.remote_ip,
        "silent": False,
        "isRepair": request.reason != "not-paired",
        "ts": request.created_at,
    }
    return {name: value for name, value in record.items() if value is not None}


def paired_record(known: Known, *, connected: bool | None = None) -> dict[str, Any]:
    """Return an approved device; never its tokens themselves.

    Args:
        connected: whether it is connected, where that is known.
    """
    device = known.device
    active = [token for token in known.tokens if token.revoked_at is None]
    record: dict[str, Any] = {
        "deviceId": device.device_id,
        "publicKey": device.public_key,
        "displayName": device.display_name,
        "label": device.label,
        "operatorLabel": device.label,
        "platform": device.platform,
        "deviceFamily": device.device_family,
        "clientId": device.client_id,
        "clientMode": device.client_mode,
        "remoteIp": device.remote_ip,
        "role": active[0].role if active else None,
        "roles": [token.role for token in active],
        "scopes": list(dict.fromkeys(scope for token in active for scope in token.scopes)),
        "approvedVia": device.approved_via,
        "createdAtMs": device.created_at or device.approved_at,
        "approvedAtMs": device.approved_at,
        "lastSeenAtMs": device.last_seen_at,
        "lastSeenReason": None if device.last_seen_at is None else "connect",
        "connected": connected,
        "tokens": [_token_record(token) for token in known.tokens],
    }
    return {name: value for name, value in record.items() if value is not None}


def _token_record(token: TokenRow) -> dict[str, Any]:
    record: dict[str, Any] = {
        "role": token.role,
        "scopes": sorted(token.scopes),
        "createdAtMs": token.created_at,
        "rotatedAtMs": token.rotated_at,
        "revokedAtMs": token.revoked_at,
        "lastUsedAtMs": token.last_used_at,
    }
    return {name: value for name, value in record.items() if value is not None}
