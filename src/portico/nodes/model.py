"""Nodes as values: what one says of itself, what it was approved for, what it asks for.

Source: OpenClaw gateway protocol, "Nodes", "Node approval".
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec

from portico.auth.model import Principal
from portico.protocol.connect import ConnectParams

ApprovalState = Literal["approved", "pending-approval", "pending-reapproval", "unapproved"]
MAX_NAMES = 256
MAX_NAME_CHARS = 128


class Surface(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node offers: groups of capabilities, commands, permissions of its system.

    Attributes:
        permissions: by name, whether the system lets the node; `None`: it did not say.
    """

    caps: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    permissions: dict[str, bool] | None = None

    def covers(self, other: Surface) -> bool:
        """Whether the other offers nothing that this one does not."""
        granted = _granted(self.permissions)
        return (
            set(other.caps) <= set(self.caps)
            and set(other.commands) <= set(self.commands)
            and _granted(other.permissions) <= granted
        )

    def within(self, other: Surface) -> Surface:
        """Return what of this one the other offers as well."""
        return Surface(
            caps=tuple(cap for cap in self.caps if cap in other.caps),
            commands=tuple(name for name in self.commands if name in other.commands),
            permissions=_both(self.permissions, other.permissions),
        )


def _granted(permissions: dict[str, bool] | None) -> set[str]:
    return {name for name, is_granted in (permissions or {}).items() if is_granted}


def _both(mine: dict[str, bool] | None, theirs: dict[str, bool] | None) -> dict[str, bool] | None:
    if theirs is None:
        return None
    granted = _granted(mine)
    return {name: allowed and name in granted for name, allowed in theirs.items()}


class About(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a node says of itself; none of it is trusted."""

    client_id: str | None = None
    client_mode: str | None = None
    display_name: str | None = None
    platform: str | None = None
    version: str | None = None
    core_version: str | None = None
    ui_version: str | None = None
    device_family: str | None = None
    model_identifier: str | None = None
    remote_ip: str | None = None


NOBODY = About()


class SurfaceRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node asks to be used for what it offers.

    Attributes:
        silent: its device was let in without asking anybody.
    """

    request_id: str
    surface: Surface
    about: About
    asked_at: int
    silent: bool = False


class NodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A node as it is remembered.

    Attributes:
        name: what an operator calls it.
        approved: what it was approved for; `None`: nothing yet.
        asked: what it asks for beyond that.
        is_preapproved: whoever let its device in approved what it will offer, too.
    """

    node_id: str
    about: About
    created_at: int
    name: str | None = None
    approved: Surface | None = None
    approved_at: int | None = None
    approved_by: str | None = None
    asked: SurfaceRequest | None = None
    is_preapproved: bool = False
    last_connected_at: int | None = None
    last_disconnected_at: int | None = None
    last_seen_at: int | None = None
    last_seen_reason: str | None = None
    host_stats: dict[str, Any] | None = None

    @property
    def state(self) -> ApprovalState:
        """How far its approval is."""
        if self.asked is not None:
            return "pending-approval" if self.approved is None else "pending-reapproval"
        return "unapproved" if self.approved is None else "approved"

    @property
    def shown_name(self) -> str:
        """What people call it."""
        return self.name or self.about.display_name or self.node_id[:12]


class NodeDevices(Protocol):
    """The devices, as far as nodes need them."""

    async def came_by_code(self, device_id: str) -> bool:
        """Whether a device was let in by a setup code."""
        ...

    async def forget(self, device_id: str, by: Principal) -> bool:
        """Take the role of a node from a device; `False`: it did not have it."""
        ...

    async def rename(self, device_id: str, name: str, by: Principal) -> None:
        """Call a device something else, too."""
        ...

    async def has_token(self, device_id: str, token: str) -> bool:
        """Whether a token is the one with which a device may be a node."""
        ...


def about_of(params: ConnectParams, *, remote_ip: str | None) -> About:
    """Return what a connecting node says of itself."""
    client = params.client
    return About(
        client_id=client.id,
        client_mode=client.mode,
        display_name=client.display_name,
        platform=client.platform,
        version=client.version,
        device_family=client.device_family,
        model_identifier=client.model_identifier,
        remote_ip=remote_ip,
    )


def declared_of(params: ConnectParams) -> Surface:
    """Return what a connecting node offers, as far as that is within bounds."""
    permissions = params.permissions
    if permissions is not None:
        short = {name: value for name, value in permissions.items() if _is_short(name)}
        permissions = dict(list(short.items())[:MAX_NAMES])
    return Surface(
        caps=_names(params.caps), commands=_names(params.commands), permissions=permissions
    )


def _names(given: tuple[str, ...]) -> tuple[str, ...]:
    names = dict.fromkeys(stripped for name in given if (stripped := name.strip()))
    return tuple(name for name in names if _is_short(name))[:MAX_NAMES]


def _is_short(name: str) -> bool:
    return len(name) <= MAX_NAME_CHARS and name.isprintable()
