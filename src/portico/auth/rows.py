"""Rows of devices, of what they may do, and of those that ask to be let in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

ApprovedVia = Literal["owner", "silent", "trusted-cidr", "bootstrap", "trusted-proxy"]
"""Who let a device in: its owner, nobody (a program of this machine), its network, a setup code,
or a proxy that vouched for its user."""
PairingReason = Literal["not-paired", "role-upgrade", "scope-upgrade", "metadata-upgrade"]


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device that was approved once.

    Attributes:
        display_name: what it calls itself.
        label: what its owner calls it.
        platform, device_family: pinned; a device that says otherwise needs another approval.
        created_at: when it was first let in; unknown of old rows.
        approved_at: when it was let in, or given more, the last time.
    """

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
    label: str | None = None
    remote_ip: str | None = None
    created_at: int | None = None

    @property
    def shown_name(self) -> str | None:
        """What people call it."""
        return self.label or self.display_name


@dataclass(frozen=True, slots=True)
class TokenRow:
    """What a device may do in one role.

    Attributes:
        salt: what its token is derived from; empty of rows that are older than the salt.
    """

    device_id: str
    role: str
    token_hash: str
    scopes: tuple[str, ...]
    created_at: int
    rotated_at: int | None
    revoked_at: int | None
    last_used_at: int | None
    salt: str = ""

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

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles it holds now."""
        return tuple(token.role for token in self.tokens if token.revoked_at is None)
