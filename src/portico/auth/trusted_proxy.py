"""Being let in by a proxy that has asked who somebody is.

The proxy proves itself by its address, and names the user in a header. Whoever reaches the gateway
past it must not be able to write that header.

Guarantees: fails closed: every step that cannot be taken refuses, with the protocol's reason.

Source: OpenClaw gateway protocol, "Modes" (trusted-proxy), and its guide to trusted proxies.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from portico.auth.peer import Peer, is_loopback, is_within
from portico.protocol.scopes import Scope

DEFAULT_DEVICE_SCOPES: Final = (Scope.READ, Scope.WRITE, Scope.APPROVALS, Scope.QUESTIONS)
_MAX_USER_CHARS: Final = 320  # RFC 3696, a mail address

OwnAddresses = Callable[[], Collection[str]]


class ProxyRefused(Exception):
    """The request did not come from the proxy, or not for a user who may come in."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TrustedProxyRules:
    """Which proxies vouch for whom.

    Attributes:
        proxies: their addresses and networks.
        user_header: in which they name the user, in lowercase.
        required_headers: without which a request did not come through them, in lowercase.
        allow_users: the users that may come in; empty: all.
        allow_loopback: programs of this machine are as trusted as the proxy.
        device_scopes: with which new devices of users are approved at once; `None`: the owner is
            asked.
    """

    proxies: tuple[str, ...] = ()
    user_header: str = ""
    required_headers: tuple[str, ...] = ()
    allow_users: tuple[str, ...] = ()
    allow_loopback: bool = False
    device_scopes: tuple[str, ...] | None = None

    @property
    def headers(self) -> frozenset[str]:
        """The headers that have to be kept of a request."""
        return frozenset({self.user_header, *self.required_headers} - {""})


def user_of(rules: TrustedProxyRules, peer: Peer, own_addresses: OwnAddresses) -> str:
    """Return the user a proxy vouches for.

    Args:
        own_addresses: this machine's: whoever comes from them is no proxy elsewhere.

    Raises:
        ProxyRefused: nobody is vouched for, or somebody who may not come in.
    """
    _check_source(rules, peer.socket_ip, own_addresses)
    for name in rules.required_headers:
        if not peer.headers.get(name, "").strip():
            raise ProxyRefused(f"trusted_proxy_missing_header_{name}")
    user = peer.headers.get(rules.user_header, "").strip()
    if not user or len(user) > _MAX_USER_CHARS or not user.isprintable():
        raise ProxyRefused("trusted_proxy_user_missing")
    if rules.allow_users and same_identity(user) not in map(same_identity, rules.allow_users):
        raise ProxyRefused("trusted_proxy_user_not_allowed")
    return user


def _check_source(rules: TrustedProxyRules, ip: str | None, own_addresses: OwnAddresses) -> None:
    if not is_within(ip, rules.proxies) or ip is None:
        raise ProxyRefused("trusted_proxy_untrusted_source")
    if is_loopback(ip):
        if not rules.allow_loopback:
            raise ProxyRefused("trusted_proxy_loopback_source")
    elif ip in own_addresses():
        raise ProxyRefused("trusted_proxy_local_interface_source")


def same_identity(user: str) -> str:
    """Return what two spellings of one user have in common: mail addresses ignore case."""
    return user.lower() if "@" in user else user
