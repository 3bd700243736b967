"""Who may decide what about devices.

Theory of operation: somebody with the gateway's secret and `operator.pairing` looks after every
device; a caller that came with a device token only after its own device, unless it is an
administrator. Only administrators touch other roles than `operator`. Nobody gives away, renews or
takes back what they do not hold themselves.

Guarantees: pure; every refusal is an `InvalidRequest` in the protocol's words.

Source: OpenClaw gateway protocol, "Device pairing"; its operator scopes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from portico.auth.model import Principal
from portico.auth.rows import Known, PairingRow
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import ALL_SCOPES, Role, Scope, expand

Action = Literal[
    "pairing approval",
    "pairing rejection",
    "pairing removal",
    "pairing rename",
    "token rotation",
    "token revocation",
]


def is_admin(caller: Principal) -> bool:
    """Whether the caller may do everything."""
    return Scope.ADMIN in caller.scopes


def may_see(caller: Principal, device_id: str) -> bool:
    """Whether the caller may know of a device and of what it asks for."""
    return not caller.is_device or is_admin(caller) or caller.device_id == device_id


def check_approval(caller: Principal, request: PairingRow) -> None:
    """Check that the caller may approve a request.

    Raises:
        InvalidRequest: it may not.
    """
    _check_own(caller, request.device_id, "pairing approval")
    if request.role != Role.OPERATOR:
        _check_admin(caller, "pairing approval")
    _check_holds(caller, request.scopes)


def check_rejection(caller: Principal, request: PairingRow) -> None:
    """Check that the caller may reject a request.

    Raises:
        InvalidRequest: it may not.
    """
    _check_own(caller, request.device_id, "pairing rejection")


def check_change(caller: Principal, known: Known, action: Action) -> None:
    """Check that the caller may remove or rename a device.

    Raises:
        InvalidRequest: it may not.
    """
    _check_own(caller, known.device.device_id, action)
    if caller.is_device and any(role != Role.OPERATOR for role in known.roles):
        _check_admin(caller, action)


def check_token(
    caller: Principal,
    known: Known,
    role: str,
    action: Action,
    *,
    scopes: tuple[str, ...] | None = None,
) -> None:
    """Check that the caller may renew or revoke a device's token.

    Args:
        scopes: what the new token is to hold; `None`: what the old one holds.

    Raises:
        InvalidRequest: it may not.
    """
    _check_own(caller, known.device.device_id, action)
    if role != Role.OPERATOR:
        _check_admin(caller, action)
    held = known.token(role)
    approved = held.scopes if held is not None else ()
    if not set(approved if scopes is None else scopes) <= expand(list(approved)):
        raise denied(action)
    may = caller.scopes
    if role == Role.OPERATOR and not set(approved if scopes is None else scopes) <= may:
        raise denied(action)


def check_upgrade(caller: Principal, scopes: Iterable[str]) -> None:
    """Check that a connection may ask to be allowed these scopes.

    Raises:
        InvalidRequest: they are no scopes, or less than it has.
    """
    wanted = frozenset(scopes)
    if not wanted <= ALL_SCOPES:
        raise InvalidRequest("requested scopes contain an unknown operator scope")
    if not set(caller.granted) <= expand(wanted):
        raise InvalidRequest("requested scopes must include the connection's current scopes")


def denied(action: Action) -> InvalidRequest:
    """The refusal of an action; it does not say why."""
    return InvalidRequest(f"device {action} denied")


def _check_own(caller: Principal, device_id: str, action: Action) -> None:
    if not may_see(caller, device_id):
        raise denied(action)


def _check_admin(caller: Principal, action: Action) -> None:
    if not is_admin(caller):
        raise denied(action)


def _check_holds(caller: Principal, scopes: tuple[str, ...]) -> None:
    missing = next((scope for scope in scopes if scope not in caller.scopes), None)
    if missing is not None:
        raise InvalidRequest(f"missing scope: {missing}")
