"""Where a connection comes from, and whether that is this machine or a page we trust.

Guarantees: a forwarded address is believed only when the sender is a trusted proxy; a connection
that came through any proxy is never `direct_local`.

Source: OpenClaw gateway protocol, "Locality and device-less clients"; RFC 6454 for origins.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from portico.auth import forwarded

MAX_NAME_LENGTH = 253  # RFC 1035, without the last dot

_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")

_NO_HEADERS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class PeerRules:
    """Whose word about others counts.

    Attributes:
        trusted_proxies: addresses and networks whose forwarding headers are believed.
        allow_real_ip: `X-Real-IP` counts where a trusted proxy sends no chain.
        headers: the ones kept for later, in lowercase.
        tailscale_port: of this machine, that only Tailscale is told of; 0: none.
    """

    trusted_proxies: tuple[str, ...] = ()
    allow_real_ip: bool = False
    headers: frozenset[str] = frozenset()
    tailscale_port: int = 0


NO_RULES: Final = PeerRules()


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end, as far as the network tells.

    Attributes:
        ip: the client's address; `None` on a Unix socket.
        direct_local: it is on this machine and talks to us without a proxy between.
        scope_cap: the scopes it limits itself to (`x-openclaw-scopes`); `None`: no limit.
        is_attributed: its address is its own, or a trusted proxy elsewhere says so.
        query_token: the secret older clients put into the URL; never logged.
        is_secure: it talks TLS, to us or to the proxy before us.
        socket_ip: the address the socket is connected to: the client's, or its proxy's.
        via_tailscale: it came through Tailscale Serve or Funnel.
        has_unknown_proxy: it says it was passed on, by nobody whose word counts.
        headers: those that say who the user is.
    """

    ip: str | None
    direct_local: bool
    host: str = ""
    origin: str | None = None
    scope_cap: frozenset[str] | None = None
    user_agent: str | None = None
    is_attributed: bool = False
    query_token: str | None = field(default=None, repr=False)
    is_secure: bool = False
    socket_ip: str | None = None
    via_tailscale: bool = False
    has_unknown_proxy: bool = False
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS, repr=False)

    @property
    def base_url(self) -> str:
        """How it calls this gateway: scheme, host and port; empty when it did not say so."""
        if not _HOST.fullmatch(self.host):
            return ""
        return f"{'https' if self.is_secure else 'http'}://{self.host}"

    @property
    def address(self) -> str:
        """What failures are counted by: where it comes from, or for a page here its origin."""
        if self.direct_local and self.origin:
            return f"origin:{self.origin}"
        return subscriber_of(self.ip) or "unix"

    @property
    def has_proxy(self) -> bool:
        """Whether a proxy whose word counts is between."""
        return self.via_tailscale or self.ip != self.socket_ip

    @property
    def exempt(self) -> bool:
        """Whether it is never locked out: this machine, but not a page in its browser."""
        return self.direct_local and not self.origin


def peer_of(
    ip: str | None,
    headers: Mapping[str, str],
    *,
    rules: PeerRules = NO_RULES,
    local_port: int = 0,
    query_token: str | None = None,
    is_secure: bool = False,
) -> Peer:
    """Describe the other end of a connection.

    Args:
        ip: the address the socket is connected to.
        headers: with lowercase names.
        is_secure: the socket talks TLS.
        local_port: of our end of the socket.
    """
    ip = plain_ip(ip)
    is_passed_on = any(name in headers for name in forwarded.NAMES)
    via_tailscale = bool(rules.tailscale_port) and local_port == rules.tailscale_port
    passed_on_for = _by_tailscale if via_tailscale else _by_proxy
    client_ip = passed_on_for(ip, headers, rules) if is_passed_on else ip
    host = headers.get("host", "")
    local = not is_passed_on and not via_tailscale and (ip is None or is_loopback(ip))
    cap = headers.get("x-openclaw-scopes")
    return Peer(
        ip=client_ip or ip,
        direct_local=local and (ip is None or is_loopback(host_name(host))),
        host=host,
        origin=headers.get("origin") or None,
        scope_cap=None if cap is None else frozenset(cap.replace(",", " ").split()),
        user_agent=headers.get("user-agent"),
        is_attributed=not is_passed_on or (client_ip is not None and not is_loopback(ip or "")),
        query_token=query_token,
        is_secure=is_secure
        or (client_ip not in {ip, None} and headers.get("x-forwarded-proto") == "https"),
        socket_ip=ip,
        via_tailscale=via_tailscale,
        has_unknown_proxy=is_passed_on and client_ip is None,
        headers={name: headers[name] for name in rules.headers if name in headers}
        if rules.headers
        else _NO_HEADERS,
    )


def is_foreign_host(peer: Peer, *, allowed: Sequence[str]) -> bool:
    """Say whether this machine is called by a name somebody else may have pointed at it.

    Only on connections from this machine itself: a page of another site in a browser here reaches
    the gateway's port under a name of that site (DNS rebinding), and must learn nothing.

    Args:
        allowed: origins the gateway is called by.
    """
    if (
        "*" in allowed
        or peer.has_proxy
        or not (peer.socket_ip and is_loopback(peer.socket_ip))
        or not peer.host
    ):
        return False
    name = host_name(peer.host)
    named = {host_name(urlsplit(origin).netloc) for origin in allowed}
    return not (name and _is_local_name(name)) and name not in named


def is_within(ip: str | None, networks: Sequence[str]) -> bool:
    """Say whether an address lies in one of some addresses and networks."""
    try:
        address = ipaddress.ip_address(ip or "")
    except ValueError:
        return False
    return any(address in network for network in _networks(tuple(networks)))


@lru_cache(maxsize=1024)
def plain_ip(ip: str | None) -> str | None:
    """Return an address without zone and without the IPv6 dress of an IPv4 address."""
    if not ip:
        return None
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ip
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


@lru_cache(maxsize=1024)
def subscriber_of(ip: str | None) -> str:
    """Return what all addresses of one subscriber have in common; "" on a Unix socket.

    An IPv4 address is one; of IPv6 addresses everybody has a /64, and may use any of it.
    Source: RFC 6177, RFC 7934.
    """
    try:
        address = ipaddress.ip_address(ip or "")
    except ValueError:
        return ip or ""
    if address.version == 4 or address.is_loopback:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))


def is_loopback(name: str) -> bool:
    """Say whether a host name or address is this machine itself."""
    return len(name) <= MAX_NAME_LENGTH and _is_loopback(name)


@lru_cache(maxsize=256)
def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str:
    """Return the name in a Host header, lowercased, without port and brackets; "" when odd."""
    if "," in host or " " in host:  # two of them
        return ""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def origin_problem(peer: Peer, *, allowed: Sequence[str], by_host_name: bool) -> str | None:
    """Return why a page's origin is refused, or `None` when it is fine.

    Args:
        allowed: configured origins; `*` allows every one.
        by_host_name: accept any page served under the Host it connects to. Without it only
            addresses and local names count, because a foreign name can be made to point here.
    """
    try:
        parts = urlsplit(peer.origin or "")
        name, netloc = (parts.hostname or "").lower(), parts.netloc.lower()
    except ValueError:
        return "origin missing or invalid"
    if not name or "@" in netloc:
        return "origin missing or invalid"
    wanted = f"{parts.scheme}://{netloc}".lower()
    if "*" in allowed or wanted in {entry.rstrip("/").lower() for entry in allowed}:
        return None
    same = _with_port(netloc, parts.scheme) == _with_port(peer.host.lower(), parts.scheme)
    if same and (by_host_name or _is_local_name(name)):
        return None
    if peer.direct_local and is_loopback(name):
        return None
    return "origin not allowed"


def _with_port(netloc: str, scheme: str) -> str:
    default = ":443" if scheme in {"https", "wss"} else ":80"
    return netloc.removesuffix(default)


def _is_local_name(name: str) -> bool:
    if is_loopback(name) or name.endswith((".local", ".ts.net")) or "." not in name:
        return True
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


@lru_cache(maxsize=16)
def _networks(
    entries: tuple[str, ...],
) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(entry, strict=False) for entry in entries)


def _by_proxy(ip: str | None, headers: Mapping[str, str], rules: PeerRules) -> str | None:
    """Whom a trusted proxy passes a request on for; `None`: it is none, or does not say."""
    proxies = rules.trusted_proxies
    if not (is_within(ip, proxies) or (ip is None and proxies)):
        return None
    return forwarded.client_of(
        headers, lambda address: is_within(address, proxies), allow_real_ip=rules.allow_real_ip
    )


def _by_tailscale(_ip: str | None, headers: Mapping[str, str], _rules: PeerRules) -> str | None:
    return forwarded.client_of(headers, lambda _address: False)
