"""Where a gateway listens: from `gateway.bind` to addresses, and from addresses to sockets.

    loopback  127.0.0.1
    lan       0.0.0.0
    tailnet   the machine's Tailscale address and 127.0.0.1; without one 127.0.0.1
    custom    `gateway.customBindHost` and 127.0.0.1
    auto      0.0.0.0 in a container or where 127.0.0.1 cannot be had, else 127.0.0.1

Guarantees: all sockets of a gateway have the same port, also when it is any free one; either all
are bound or none. An address this machine does not have is an error, never a reason to listen on
more than was asked for.

Source: OpenClaw gateway protocol, "Bind, TLS, discovery".
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from portico.net.interfaces import is_container, own_addresses, tailnet_address

if TYPE_CHECKING:
    from portico.config.model import PorticoConfig

LOOPBACK: Final = "127.0.0.1"
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104  # asked for, and refused at start without real auth
BACKLOG: Final = 2048
_TRIES: Final = 20
"""How often another free port is tried that is free on every address."""


@dataclass(frozen=True, slots=True)
class Bind:
    """Where to listen.

    Attributes:
        hosts: IP addresses; the first is where commands of this machine look.
        note: why this is not what was asked for.
    """

    hosts: tuple[str, ...]
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """What the choice depends on."""

    addresses: Callable[[], tuple[str, ...]] = own_addresses
    is_container: Callable[[], bool] = is_container
    has_loopback: Callable[[], bool] = lambda: _can_bind(LOOPBACK)


THIS_MACHINE: Final = Machine()


def choose(config: PorticoConfig, machine: Machine = THIS_MACHINE) -> Bind:
    """Return the addresses to listen on for `gateway.bind`."""
    match config.gateway.bind:
        case "lan":
            return Bind((EVERYWHERE,))
        case "tailnet":
            return _tailnet(machine)
        case "custom":
            return Bind(_with_loopback(config.gateway.custom_bind_host or LOOPBACK))
        case "auto":
            return _auto(machine)
        case _:
            return Bind((LOOPBACK,))


def _tailnet(machine: Machine) -> Bind:
    address = tailnet_address(machine.addresses())
    if address is None:
        return Bind(
            (LOOPBACK,),
            "this machine has no Tailscale address: only this machine is let in until tailscale "
            "is up and the gateway started again",
        )
    return Bind((LOOPBACK, address))


def _auto(machine: Machine) -> Bind:
    if machine.is_container():
        return Bind((EVERYWHERE,))
    if machine.has_loopback():
        return Bind((LOOPBACK,))
    return Bind((EVERYWHERE,), "127.0.0.1 cannot be bound: every interface is listened on")


def _with_loopback(host: str) -> tuple[str, ...]:
    address = ipaddress.ip_address(host)
    if address.is_unspecified or host == LOOPBACK:
        return (host,)
    return (LOOPBACK, host)


def _can_bind(host: str) -> bool:
    """Whether the machine has the address; that a port of it is taken does not matter."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def listen(hosts: Sequence[str], port: int) -> tuple[socket.socket, ...]:
    """Bind a listening socket on each address; port 0 picks one that is free on all of them.

    Raises:
        OSError: an address or the port cannot be had; `filename` is the address.
    """
    for left in reversed(range(_TRIES)):
        bound: list[socket.socket] = []
        try:
            for host in hosts:
                bound.append(_bound(host, bound[0].getsockname()[1] if bound else port))
        except OSError as error:
            for taken in bound:
                taken.close()
            if port == 0 and bound and left and error.errno == errno.EADDRINUSE:
                continue
            raise
        return tuple(bound)
    raise AssertionError("unreachable")


def _bound(host: str, port: int) -> socket.socket:
    listener = socket.socket(_family(host), socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, error.strerror, host) from None
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def urls(
    listeners: Sequence[socket.socket], scheme: str, machine: Machine = THIS_MACHINE
) -> tuple[str, ...]:
    """Return every address a gateway can be reached at, the one for this machine first."""
    hosts: dict[str, None] = {}
    port = 0
    for listener in listeners:
        host, port = listener.getsockname()[:2]
        family = listener.family
        if ipaddress.ip_address(host).is_unspecified:
            hosts[LOOPBACK if family == socket.AF_INET else "::1"] = None
            hosts |= dict.fromkeys(one for one in machine.addresses() if _family(one) == family)
        else:
            hosts[host] = None
    return tuple(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}" for host in hosts)
