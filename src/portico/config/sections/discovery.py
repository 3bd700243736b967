"""`discovery`: how others on the local network hear of the gateway.

Source: OpenClaw configuration reference, section `discovery`.
"""

from __future__ import annotations

import ipaddress
from typing import ClassVar, Literal

from pydantic import field_validator

from portico.config.sections.base import Section, group, setting


class Mdns(Section):
    """mDNS (Bonjour) on the local network."""

    mode: Literal["off", "minimal", "full"] | None = setting(
        None,
        "off; minimal; full (the SSH port and the path of the command, too). Unset: minimal where "
        "others reach the port and the extra `discovery` is installed, except in containers.",
    )
    name: str | None = setting(None, "How the gateway calls itself; unset: the host's name.")
    interfaces: tuple[str, ...] = setting(
        (), "Addresses of this machine on whose networks it is told; empty: all."
    )
    ssh_port: int = setting(22, "SSH port that is told with mode full.", ge=1, le=65_535)

    @field_validator("interfaces")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            ipaddress.ip_address(text)
        return value


class DiscoverySettings(Section):
    """Being found."""

    not_used: ClassVar[frozenset[str]] = frozenset({"wideArea"})

    mdns: Mdns = group(Mdns, "mDNS.")
