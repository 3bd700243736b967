"""Two real zeroconf instances on the loopback interface."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from portico.discovery.mdns import Advertiser, MdnsUnavailable, Where, discover
from portico.discovery.records import Beacon, Found

# Each address of the loopback interface stands for a machine of its own.
ONE, TWO, HERE = (Where((f"127.0.0.{number}",)) for number in (1, 2, 3))


@asynccontextmanager
async def told(beacon: Callable[[], Beacon], where: Where = ONE) -> AsyncIterator[Advertiser]:
    advertiser = Advertiser(beacon=beacon, addresses=lambda: where.interfaces, where=where)
    await advertiser.start()
    try:
        assert advertiser.problem is None
        yield advertiser
    finally:
        await advertiser.stop()


async def named(name: str, *, within_s: float = 20) -> list[Found]:
    """Ask until a gateway of the name answers."""
    async with asyncio.timeout(within_s):
        while True:
            found = [one for one in await discover(2.0, HERE) if one.name == name]
            if found:
                return found


async def test_a_gateway_is_found_told_anew_and_withdrawn() -> None:
    shas = ["ab" * 32]

    def beacon() -> Beacon:
        return Beacon(
            name="Portico test attic", lan_host="attic", port=4711, has_tls=True, tls_sha256=shas[0]
        )

    async with told(beacon) as advertiser:
        (one,) = await named("Portico test attic")
        assert one.url == "wss://127.0.0.1:4711"
        assert one.tls_sha256 == "ab" * 32
        shas[0] = "cd" * 32
        await advertiser.refresh()
        async with asyncio.timeout(30):
            while (await named("Portico test attic"))[0].tls_sha256 != "cd" * 32:
                pass
    assert all(one.name != "Portico test attic" for one in await discover(0.8, HERE))


async def test_two_of_one_name_are_told_apart() -> None:
    def first() -> Beacon:
        return Beacon(name="Portico test twin", lan_host="one", port=4712)

    def second() -> Beacon:
        return Beacon(name="Portico test twin", lan_host="two", port=4713)

    async with told(first) as one, told(second, TWO) as two:
        assert one.name == "Portico test twin"
        assert two.name not in {None, one.name}
        async with asyncio.timeout(30):
            while {each.url for each in await named("Portico test twin")} != {
                "ws://127.0.0.1:4712",
                "ws://127.0.0.2:4713",
            }:
                pass


async def test_without_the_package_it_is_said_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    with pytest.raises(MdnsUnavailable, match=r"pip install 'portico\[discovery\]'"):
        await discover(0.1, HERE)
    silent = Advertiser(
        beacon=lambda: Beacon(name="x", lan_host="x", port=1), addresses=lambda: (), where=HERE
    )
    await silent.start()
    assert "pip install" in (silent.problem or "")
    await silent.stop()


async def test_a_network_that_is_not_there_is_a_problem_and_no_failure() -> None:
    nowhere = Where(("192.0.2.77",))
    advertiser = Advertiser(
        beacon=lambda: Beacon(name="x", lan_host="x", port=1), addresses=lambda: (), where=nowhere
    )
    await advertiser.start()
    assert "multicast cannot be had" in (advertiser.problem or "")
    await advertiser.stop()
