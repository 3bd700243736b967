"""The statements and works behind devices, their tokens and pairing requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, or_, select, update

from portico.auth.tables import device_tokens, devices, pairing_requests
from portico.store import Row, Work, one, statement

_p = bindparam


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device that was approved once."""

    device_id: str
    public_key: str
    display_name: str | None
    platform: str | None
    device_family: str | None
    client_id: str | None
    client_mode: str | None
    approved_via: str
    approved_at: int
    last_seen_at: int | None


@dataclass(frozen=True, slots=True)
class TokenRow:
    """What a device may do in one role."""

    device_id: str
    role: str
    token_hash: str
    scopes: tuple[str, ...]
    created_at: int
    rotated_at: int | None
    revoked_at: int | None
    last_used_at: int | None

    @property
    def issued_at(self) -> int:
        """When the present token was made."""
        return self.rotated_at or self.created_at


@dataclass(frozen=True, slots=True)
class PairingRow:
    """A device that asks to be let in, or to be allowed more."""

    request_id: str
    device_id: str
    public_key: str
    role: str
    scopes: tuple[str, ...]
    reason: str
    client: dict[str, Any]
    remote_ip: str | None
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Known:
    """A device with the roles it holds."""

    device: DeviceRow
    tokens: tuple[TokenRow, ...]

    def token(self, role: str) -> TokenRow | None:
        """Return what it may do in a role, unless that was revoked."""
        return next((t for t in self.tokens if t.role == role and t.revoked_at is None), None)


_DEVICE = tuple(DeviceRow.__dataclass_fields__)
_find_device = statement(select(devices).where(devices.c.device_id == _p("device_id")))
_all_devices = statement(select(devices).order_by(devices.c.approved_at))
_put_device = statement(
    lambda insert: (into := insert(devices)).on_conflict_do_update(
        index_elements=["device_id"],
        set_={
            name: into.excluded[name]
            for name in ("platform", "device_family", "client_id", "client_mode")
        },
    )
)
_rename_device = statement(
    update(devices)
    .where(devices.c.device_id == _p("p_device_id"))
    .values(display_name=_p("p_name"))
    .returning(devices.c.device_id)
)
_touch_device = statement(
    update(devices).where(devices.c.device_id == _p("p_device_id")).values(last_seen_at=_p("p_now"))
)
_touch_token = statement(
    update(device_tokens)
    .where(device_tokens.c.device_id == _p("p_device_id"), device_tokens.c.role == _p("p_role"))
    .values(last_used_at=_p("p_now"))
)
_delete_device = statement(
    delete(devices).where(devices.c.device_id == _p("device_id")).returning(devices.c.device_id)
)
_tokens_of = statement(
    select(device_tokens)
    .where(device_tokens.c.device_id == _p("device_id"))
    .order_by(device_tokens.c.role)
)
_delete_tokens = statement(
    delete(device_tokens).where(device_tokens.c.device_id == _p("device_id"))
)
_put_token = statement(
    lambda insert: (into := insert(device_tokens)).on_conflict_do_update(
        index_elements=["device_id", "role"],
        set_={
            name: into.excluded[name]
            for name in ("token_hash", "scopes", "rotated_at", "revoked_at")
        },
    )
)
_revoke_token = statement(
    update(device_tokens)
    .where(
        device_tokens.c.device_id == _p("p_device_id"),
        device_tokens.c.role == _p("p_role"),
        device_tokens.c.revoked_at.is_(None),
    )
    .values(revoked_at=_p("p_now"))
    .returning(device_tokens.c.role)
)
_find_request = statement(
    select(pairing_requests).where(
        pairing_requests.c.request_id == _p("request_id"),
        pairing_requests.c.expires_at > _p("now"),
    )
)
_pending_of = statement(
    select(pairing_requests).where(
        pairing_requests.c.device_id == _p("device_id"),
        pairing_requests.c.role == _p("role"),
        pairing_requests.c.expires_at > _p("now"),
    )
)
_all_requests = statement(
    select(pairing_requests)
    .where(pairing_requests.c.expires_at > _p("now"))
    .order_by(pairing_requests.c.created_at)
)
_put_request = statement(
    lambda insert: (into := insert(pairing_requests)).on_conflict_do_update(
        index_elements=["request_id"],
        set_={
            name: into.excluded[name]
            for name in ("scopes", "reason", "client", "remote_ip", "expires_at")
        },
    )
)
_drop_requests = statement(
    delete(pairing_requests).where(
        or_(
            pairing_requests.c.request_id == _p("request_id"),
            pairing_requests.c.expires_at <= _p("now"),
        )
    )
)
_drop_requests_of = statement(
    delete(pairing_requests).where(pairing_requests.c.device_id == _p("device_id"))
)


def _values(row: DeviceRow | TokenRow | PairingRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in row.__dataclass_fields__}
    for name in ("scopes", "client"):
        if name in values:
            values[name] = msgspec.json.encode(values[name]).decode()
    return values


def _device(row: Row) -> DeviceRow:
    return DeviceRow(*(row[name] for name in _DEVICE))


def _token(row: Row) -> TokenRow:
    values = {name: row[name] for name in TokenRow.__dataclass_fields__}
    return TokenRow(**{**values, "scopes": tuple(msgspec.json.decode(row["scopes"]))})


def _request(row: Row) -> PairingRow:
    values = {name: row[name] for name in PairingRow.__dataclass_fields__}
    values["scopes"] = tuple(msgspec.json.decode(row["scopes"]))
    values["client"] = msgspec.json.decode(row["client"])
    return PairingRow(**values)


def find_known(device_id: str) -> Work[Known | None]:
    """Return an approved device with its roles."""
    row = one((yield _find_device(device_id=device_id)))
    if row is None:
        return None
    rows = yield _tokens_of(device_id=device_id)
    return Known(_device(row), tuple(_token(r) for r in rows))


def list_known() -> Work[list[Known]]:
    """Return every approved device."""
    found = []
    for row in (yield _all_devices()):
        tokens = yield _tokens_of(device_id=row["device_id"])
        found.append(Known(_device(row), tuple(_token(t) for t in tokens)))
    return found


def put_approved(device: DeviceRow, token: TokenRow, request_id: str, now: int) -> Work[None]:
    """Approve a device in a role, and forget the request that asked for it."""
    yield _put_device(**_values(device))
    yield _put_token(**_values(token))
    yield _drop_requests(request_id=request_id, now=now)


def put_token(token: TokenRow) -> Work[None]:
    """Put a device's token in a role in place of the one it had."""
    yield _put_token(**_values(token))


def revoke_token(device_id: str, role: str, now: int) -> Work[bool]:
    """Revoke a device's role; `False` when it does not hold it."""
    rows = yield _revoke_token(p_device_id=device_id, p_role=role, p_now=now)
    return bool(rows)


def touch(device_id: str, role: str, now: int) -> Work[None]:
    """Note that a device was here."""
    yield _touch_device(p_device_id=device_id, p_now=now)
    yield _touch_token(p_device_id=device_id, p_role=role, p_now=now)


def rename(device_id: str, name: str) -> Work[bool]:
    """Give a device another name; `False` when there is no such device."""
    rows = yield _rename_device(p_device_id=device_id, p_name=name)
    return bool(rows)


def remove(device_id: str) -> Work[bool]:
    """Forget a device, its tokens and requests; `False` when there is no such device."""
    yield _delete_tokens(device_id=device_id)
    yield _drop_requests_of(device_id=device_id)
    rows = yield _delete_device(device_id=device_id)
    return bool(rows)


def put_request(request: PairingRow) -> Work[PairingRow]:
    """Remember a request, or refresh the one the device already has in this role."""
    yield _drop_requests(request_id="", now=request.created_at)
    pending = one(
        (yield _pending_of(device_id=request.device_id, role=request.role, now=request.created_at))
    )
    if pending is None:
        kept = request
    else:
        values = {**_fields(request), "request_id": pending["request_id"]}
        kept = PairingRow(**{**values, "created_at": pending["created_at"]})
    yield _put_request(**_values(kept))
    return kept


def _fields(request: PairingRow) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.__dataclass_fields__}


def find_request(request_id: str, now: int) -> Work[PairingRow | None]:
    """Return a request that has not expired."""
    row = one((yield _find_request(request_id=request_id, now=now)))
    return None if row is None else _request(row)


def list_requests(now: int) -> Work[list[PairingRow]]:
    """Return every request that has not expired, oldest first."""
    return [_request(row) for row in (yield _all_requests(now=now))]


def drop_request(request_id: str, now: int) -> Work[None]:
    """Forget a request, and all that have expired."""
    yield _drop_requests(request_id=request_id, now=now)
