"""The statements and works behind devices and their tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, func, select, update

from portico.auth.rows import DeviceRow, Known, TokenRow
from portico.auth.tables import device_tokens, devices
from portico.auth.tokens import IssuedToken, TokenMaker
from portico.store import Row, Work, one, statement

_p = bindparam

_find_device = statement(select(devices).where(devices.c.device_id == _p("device_id")))
_lock_device = statement(
    select(devices).where(devices.c.device_id == _p("device_id")).with_for_update()
)
_all_devices = statement(select(devices).order_by(devices.c.approved_at, devices.c.device_id))
_put_device = statement(
    lambda insert: (into := insert(devices)).on_conflict_do_update(
        index_elements=["device_id"],
        set_={
            **{
                name: into.excluded[name]
                for name in ("platform", "device_family", "client_id", "client_mode")
            },
            **{name: into.excluded[name] for name in ("approved_via", "approved_at", "remote_ip")},
            **{
                name: func.coalesce(into.excluded[name], devices.c[name])
                for name in ("display_name", "last_seen_at")
            },
        },
    )
)
_rename_device = statement(
    update(devices)
    .where(devices.c.device_id == _p("p_device_id"))
    .values(label=_p("p_label"))
    .returning(devices.c.device_id)
)
_pin_platform = statement(
    update(devices)
    .where(devices.c.device_id == _p("p_device_id"))
    .values(platform=_p("p_platform"))
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
_all_tokens = statement(select(device_tokens).order_by(device_tokens.c.role))
_delete_tokens = statement(
    delete(device_tokens).where(device_tokens.c.device_id == _p("device_id"))
)
_put_token = statement(
    lambda insert: (into := insert(device_tokens)).on_conflict_do_update(
        index_elements=["device_id", "role"],
        set_={
            name: into.excluded[name]
            for name in ("token_hash", "scopes", "rotated_at", "revoked_at", "salt")
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


@dataclass(frozen=True, slots=True)
class Grant:
    """What a device is let do, in addition to what it already may."""

    role: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Admission:
    """A device that was let in, and its tokens in the roles it was let in for."""

    known: Known
    issued: tuple[IssuedToken, ...]


def values_of(row: Any) -> dict[str, Any]:
    """Return a row as the parameters of its statement; what is not a scalar as JSON."""
    values = {name: getattr(row, name) for name in row.__dataclass_fields__}
    for name in ("scopes", "roles", "client"):
        if name in values:
            values[name] = msgspec.json.encode(values[name]).decode()
    return values


def _device(row: Row) -> DeviceRow:
    return DeviceRow(**{name: row[name] for name in DeviceRow.__dataclass_fields__})


def _token(row: Row) -> TokenRow:
    values = {name: row[name] for name in TokenRow.__dataclass_fields__}
    return TokenRow(**{**values, "scopes": tuple(msgspec.json.decode(row["scopes"]))})


def find_known(device_id: str) -> Work[Known | None]:
    """Return an approved device with its roles."""
    row = one((yield _find_device(device_id=device_id)))
    if row is None:
        return None
    rows = yield _tokens_of(device_id=device_id)
    return Known(_device(row), tuple(_token(r) for r in rows))


def lock_known(device_id: str) -> Work[Known | None]:
    """Return an approved device with its roles, and let nobody else change it meanwhile."""
    row = one((yield _lock_device(device_id=device_id)))
    if row is None:
        return None
    rows = yield _tokens_of(device_id=device_id)
    return Known(_device(row), tuple(_token(r) for r in rows))


def list_known() -> Work[list[Known]]:
    """Return every approved device."""
    tokens: dict[str, list[TokenRow]] = {}
    for row in (yield _all_tokens()):
        tokens.setdefault(row["device_id"], []).append(_token(row))
    rows = yield _all_devices()
    return [Known(_device(row), tuple(tokens.get(row["device_id"], ()))) for row in rows]


def admit(
    device: DeviceRow, grants: tuple[Grant, ...], *, maker: TokenMaker, now: int
) -> Work[Admission]:
    """Let a device in; what it held and was not revoked, it keeps."""
    known = yield from lock_known(device.device_id)
    before = {token.role: token for token in known.tokens} if known else {}
    issued, rows = [], []
    for grant in grants:
        held = before.get(grant.role)
        kept = held.scopes if held is not None and held.revoked_at is None else ()
        scopes = tuple(dict.fromkeys((*kept, *grant.scopes)))
        token, row = maker.issue(device.device_id, grant.role, scopes, before=held, now=now)
        issued.append(token)
        rows.append(row)
    yield _put_device(**values_of(device))
    for row in rows:
        yield _put_token(**values_of(row))
    after = yield from find_known(device.device_id)
    assert after is not None  # noqa: S101 - it was just written
    return Admission(after, tuple(issued))


def put_token(token: TokenRow) -> Work[None]:
    """Put a device's token in a role in place of the one it had."""
    yield _put_token(**values_of(token))


def revoke_token(device_id: str, role: str, now: int) -> Work[bool]:
    """Revoke a device's role; `False` when it does not hold it."""
    rows = yield _revoke_token(p_device_id=device_id, p_role=role, p_now=now)
    return bool(rows)


def touch(device_id: str, role: str, now: int) -> Work[None]:
    """Note that a device was here."""
    yield _touch_device(p_device_id=device_id, p_now=now)
    yield _touch_token(p_device_id=device_id, p_role=role, p_now=now)


def pin_platform(device_id: str, platform: str) -> Work[None]:
    """Pin another version of a device's system."""
    yield _pin_platform(p_device_id=device_id, p_platform=platform)


def rename(device_id: str, label: str) -> Work[bool]:
    """Give a device the name its owner calls it; `False` when there is no such device."""
    rows = yield _rename_device(p_device_id=device_id, p_label=label)
    return bool(rows)


def remove(device_id: str) -> Work[bool]:
    """Forget a device and its tokens; `False` when there is no such device."""
    yield _delete_tokens(device_id=device_id)
    rows = yield _delete_device(device_id=device_id)
    return bool(rows)
