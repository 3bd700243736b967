"""This machine's addresses, as its own network tells.

Guarantees: nothing is sent and no name is looked up where the kernel lists addresses (Linux);
elsewhere the machine's own name is resolved. What cannot be found out is left out, never an error.

Source: proc(5), `/proc/net/fib_trie` and `if_inet6`; RFC 6598 for the range Tailscale uses.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

TAILNET: Final = ipaddress.ip_network("100.64.0.0/10")
_SOMEWHERE: Final = (
    (socket.AF_INET, "203.0.113.1"),  # what we have towards the internet
    (socket.AF_INET, "100.100.100.100"),  # and towards a tailnet; nobody is asked
    (socket.AF_INET6, "2001:db8::1"),
)
_SCOPE_LINK: Final = "20"


def own_addresses() -> tuple[str, ...]:
    """Return the addresses others may reach this machine by; no loopback, no link-local ones."""
    listed = [*_ipv4_listed(), *_ipv6_listed()]
    if not listed:
        listed = [*_by_own_name()]
    found = dict.fromkeys((*listed, *_by_route()))
    return tuple(text for text in found if _is_reachable(text))


def tailnet_address(addresses: Iterable[str]) -> str | None:
    """Return the IPv4 address that this machine has in a Tailscale network."""
    return next((text for text in addresses if is_tailnet_address(text)), None)


def is_tailnet_address(text: str) -> bool:
    """Whether an IPv4 address is of the range that Tailscale gives out."""
    try:
        return ipaddress.ip_address(text) in TAILNET
    except ValueError:
        return False


def is_container() -> bool:
    """Whether this process runs in a container with a network of its own."""
    if any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")):
        return True
    try:
        groups = Path("/proc/1/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(word in groups for word in ("docker", "kubepods", "containerd", "libpod", "lxc"))


def _is_reachable(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return not (address.is_loopback or address.is_link_local or address.is_unspecified)


def _ipv4_listed() -> Iterator[str]:
    try:
        lines = Path("/proc/net/fib_trie").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return
    address = ""
    for line in lines:
        words = line.split()
        if words[:1] == ["|--"]:
            address = words[1]
        elif words[-2:] == ["host", "LOCAL"]:
            yield address


def _ipv6_listed() -> Iterator[str]:
    try:
        lines = Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        digits, _, _, scope, *_ = line.split()
        if scope != _SCOPE_LINK:
            yield str(ipaddress.IPv6Address(int(digits, 16)))


def _by_own_name() -> Iterator[str]:
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
    except OSError:
        return
    yield from (str(entry[4][0]) for entry in found)


def _by_route() -> Iterator[str]:
    """The address each way out starts from. Connecting a datagram socket sends nothing."""
    for family, target in _SOMEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))
                yield str(probe.getsockname()[0])
        except OSError:
            continue
