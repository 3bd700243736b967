"""Whose request a proxy passes on: reading the headers in which proxies say so.

Theory of operation: every proxy adds the address it was connected from on the right. Whatever
stands to the left of an address that is no trusted proxy may be invented, so the chain is walked
from the right and ends at the first address that is not trusted.

Guarantees: never raises; a chain with something in it that is no address tells nothing, and so do
two headers that tell different stories.

Source: RFC 7239 (Forwarded); X-Forwarded-For as MDN describes it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

NAMES: Final = (
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
)
"""Where one of these is, a proxy was on the way, or somebody wants us to think so."""

IsTrusted = Callable[[str], bool]

_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_PAIR: Final = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*")+')
_PORT: Final = re.compile(r":\d{1,5}")


def header_map(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by their lowercase names; one that comes twice is one list."""
    found: dict[str, str] = {}
    for name, value in items:
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def client_of(
    headers: Mapping[str, str], is_trusted: IsTrusted, *, allow_real_ip: bool = False
) -> str | None:
    """Return the address a trusted proxy passes a request on for; `None`: they do not say.

    Args:
        headers: with lowercase names.
        is_trusted: whether an address is one of a trusted proxy.
        allow_real_ip: believe `X-Real-IP` where there is no chain.
    """
    stories = []
    if "x-forwarded-for" in headers:
        stories.append([address_of(hop) for hop in headers["x-forwarded-for"].split(",")])
    if "forwarded" in headers:
        stories.append(_hops(headers["forwarded"]))
    if not stories and allow_real_ip and "x-real-ip" in headers:
        stories.append([address_of(headers["x-real-ip"])])
    ends = {_end(hops, is_trusted) for hops in stories}
    return ends.pop() if len(ends) == 1 else None


def _end(hops: list[str | None], is_trusted: IsTrusted) -> str | None:
    for hop in reversed(hops):
        if hop is None or not is_trusted(hop):
            return hop
    return hops[0] if hops else None


def _hops(header: str) -> list[str | None]:
    """The `for` of every element of a Forwarded header; `None`: it has none, or hides it."""
    hops: list[str | None] = []
    for element in _ELEMENT.findall(header):
        pairs = (pair.partition("=") for pair in _PAIR.findall(element))
        named = [value for name, _, value in pairs if name.strip().lower() == "for"]
        hops.append(address_of(named[0]) if len(named) == 1 else None)
    return hops


def address_of(text: str) -> str | None:
    """Return the IP address in an entry: with or without port, brackets and quotes."""
    plain = text.strip().strip('"').strip()
    if plain.startswith("["):
        plain, bracket, port = plain[1:].partition("]")
        if not bracket or (port and not _PORT.fullmatch(port)):
            return None
    elif plain.count(":") == 1:
        plain, _, port = plain.partition(":")
        if not port.isdigit():
            return None
    try:
        address = ipaddress.ip_address(plain.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)
