from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from portico.config.model import PorticoConfig
from portico.net import bind
from portico.net.bind import Bind, Machine
from portico.net.interfaces import own_addresses, tailnet_address

TAILSCALED = Machine(
    addresses=lambda: ("192.168.1.7", "100.101.102.103", "fd7a:115c:a1e0::1"),
    is_container=lambda: False,
    has_loopback=lambda: True,
)
PLAIN = Machine(
    addresses=lambda: ("192.168.1.7",), is_container=lambda: False, has_loopback=lambda: True
)


def config(**gateway: Any) -> PorticoConfig:
    return PorticoConfig.model_validate({"gateway": gateway})


@pytest.mark.parametrize(
    ("gateway", "hosts"),
    [
        ({}, ("127.0.0.1",)),
        ({"bind": "loopback"}, ("127.0.0.1",)),
        ({"bind": "lan"}, ("0.0.0.0",)),
        ({"bind": "tailnet"}, ("127.0.0.1", "100.101.102.103")),
        ({"bind": "auto"}, ("127.0.0.1",)),
        ({"bind": "custom", "customBindHost": "192.168.1.7"}, ("127.0.0.1", "192.168.1.7")),
        ({"bind": "custom", "customBindHost": "127.0.0.1"}, ("127.0.0.1",)),
        ({"bind": "custom", "customBindHost": "0.0.0.0"}, ("0.0.0.0",)),
        ({"bind": "custom", "customBindHost": "::"}, ("::",)),
    ],
)
def test_each_mode_listens_where_it_says(gateway: dict[str, Any], hosts: tuple[str, ...]) -> None:
    assert bind.choose(config(**gateway), TAILSCALED) == Bind(hosts)


def test_without_a_tailnet_only_this_machine_is_let_in_and_it_is_said() -> None:
    chosen = bind.choose(config(bind="tailnet"), PLAIN)
    assert chosen.hosts == ("127.0.0.1",)
    assert "no Tailscale address" in (chosen.note or "")


def test_auto_listens_everywhere_in_a_container_and_without_a_loopback() -> None:
    inside = Machine(PLAIN.addresses, lambda: True, lambda: True)
    assert bind.choose(config(bind="auto"), inside).hosts == ("0.0.0.0",)
    bare = Machine(PLAIN.addresses, lambda: False, lambda: False)
    assert bind.choose(config(bind="auto"), bare).hosts == ("0.0.0.0",)


@pytest.fixture
def opened() -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    yield sockets
    for one in sockets:
        one.close()


def test_all_addresses_have_the_same_port(opened: list[socket.socket]) -> None:
    opened += bind.listen(("127.0.0.1", "127.0.0.2"), 0)
    ports = {one.getsockname()[1] for one in opened}
    assert len(ports) == 1
    assert {one.getsockname()[0] for one in opened} == {"127.0.0.1", "127.0.0.2"}


def test_either_all_are_bound_or_none(opened: list[socket.socket]) -> None:
    opened += bind.listen(("127.0.0.2",), 0)
    port = opened[0].getsockname()[1]
    with pytest.raises(OSError) as caught:
        bind.listen(("127.0.0.1", "127.0.0.2"), port)
    assert (caught.value.errno, caught.value.filename) == (errno.EADDRINUSE, "127.0.0.2")
    opened += bind.listen(("127.0.0.1",), port)  # the first one was let go


def test_an_address_of_another_machine_is_refused_by_name() -> None:
    with pytest.raises(OSError) as caught:
        bind.listen(("127.0.0.1", "192.0.2.77"), 0)
    assert (caught.value.errno, caught.value.filename) == (errno.EADDRNOTAVAIL, "192.0.2.77")


def test_addresses_start_with_the_one_for_this_machine(opened: list[socket.socket]) -> None:
    opened += bind.listen(("0.0.0.0",), 0)
    port = opened[0].getsockname()[1]
    assert bind.urls(opened, "https", TAILSCALED) == (
        f"https://127.0.0.1:{port}",
        f"https://192.168.1.7:{port}",
        f"https://100.101.102.103:{port}",
    )


def test_an_ipv6_address_is_in_brackets(opened: list[socket.socket]) -> None:
    opened += bind.listen(("::1",), 0)
    assert bind.urls(opened, "http") == (f"http://[::1]:{opened[0].getsockname()[1]}",)


def test_own_addresses_can_be_bound(opened: list[socket.socket]) -> None:
    for host in own_addresses():
        assert not host.startswith(("127.", "fe80:"))
        opened += bind.listen((host,), 0)


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (("10.0.0.1", "100.64.0.1"), "100.64.0.1"),
        (("100.63.255.255", "100.128.0.1"), None),
        (("fd7a:115c:a1e0::1",), None),
        (("nonsense", "100.127.255.254"), "100.127.255.254"),
    ],
)
def test_the_tailnet_address_is_known_by_its_range(
    addresses: tuple[str, ...], expected: str | None
) -> None:
    assert tailnet_address(addresses) == expected
