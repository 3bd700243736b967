"""Telling the local network where the gateway is, and asking who else is there.

zeroconf is loaded when it is needed; where it is not installed, that is said, and all else goes on.

Guarantees: what was told is taken back on `stop`; a name somebody else has is changed, not fought
over; nothing here takes longer than its time limit.

Source: RFC 6762 (mDNS), RFC 6763 (DNS-SD).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import structlog

from portico.discovery.records import SERVICE, Beacon, Found, found

if TYPE_CHECKING:
    from zeroconf import ServiceInfo
    from zeroconf.asyncio import AsyncZeroconf

log = structlog.get_logger()

NOT_INSTALLED: Final = "it needs a package that is not installed: pip install 'portico[discovery]'"
MOST_FOUND: Final = 256
_REGISTER_S: Final = 15.0
_WITHDRAW_S: Final = 3.0
_RESOLVE_S: Final = 3.0


class MdnsUnavailable(Exception):
    """The network cannot be asked; the text says why."""


@dataclass(frozen=True, slots=True)
class Where:
    """On which networks to speak.

    Attributes:
        interfaces: addresses of this machine; empty: all of them.
    """

    interfaces: tuple[str, ...] = ()


class Advertiser:
    """Tells the local network of one gateway.

    Args:
        addresses: at which others reach it.
        beacon: what is told, made anew each time.
    """

    def __init__(
        self, *, beacon: Callable[[], Beacon], addresses: Callable[[], Sequence[str]], where: Where
    ) -> None:
        self._beacon = beacon
        self._addresses = addresses
        self._where = where
        self._zeroconf: AsyncZeroconf | None = None
        self._info: ServiceInfo | None = None
        self.tailnet_dns: str | None = None
        self.name: str | None = None
        self.problem: str | None = None

    async def start(self) -> None:
        """Tell. What goes wrong is kept in `problem`."""
        try:
            async with asyncio.timeout(_REGISTER_S):
                self._zeroconf = _open(self._where)
                info = self._described()
                done = await self._zeroconf.async_register_service(info, allow_name_change=True)
                await done
        except MdnsUnavailable as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001  # whatever it is, the gateway runs without it
            self._failed(str(error) or type(error).__name__)
            await self._close()
        else:
            self._info, self.problem = info, None
            self.name = info.name.removesuffix(f".{SERVICE}")
            log.info("mdns.told", name=self.name)

    async def refresh(self) -> None:
        """Tell what has changed, under the same name."""
        if self._zeroconf is None or self._info is None:
            return
        info = self._described(self._info.name)
        try:
            async with asyncio.timeout(_REGISTER_S):
                await (await self._zeroconf.async_update_service(info))
        except Exception as error:  # noqa: BLE001  # as above
            self._failed(str(error) or type(error).__name__)
        else:
            self._info = info

    async def stop(self) -> None:
        """Take back what was told. Safe to call twice."""
        info, self._info, self.name = self._info, None, None
        if self._zeroconf is not None and info is not None:
            with contextlib.suppress(Exception):  # nobody listens any more: it ages
                async with asyncio.timeout(_WITHDRAW_S):
                    await (await self._zeroconf.async_unregister_service(info))
        await self._close()

    def _described(self, name: str | None = None) -> ServiceInfo:
        from zeroconf import ServiceInfo

        beacon = replace(self._beacon(), tailnet_dns=self.tailnet_dns)
        return ServiceInfo(
            SERVICE,
            name or beacon.instance(),
            port=beacon.port,
            properties=dict(beacon.txt()),
            server=f"{beacon.lan_host}.local.",
            parsed_addresses=list(self._addresses()),
        )

    def _failed(self, problem: str) -> None:
        self.problem = problem
        log.warning("mdns.failed", problem=problem)

    async def _close(self) -> None:
        zeroconf, self._zeroconf = self._zeroconf, None
        if zeroconf is not None:
            with contextlib.suppress(Exception):  # its sockets end with the process at the latest
                async with asyncio.timeout(_WITHDRAW_S):
                    await zeroconf.async_close()


async def discover(timeout_s: float, where: Where) -> list[Found]:
    """Return the gateways that answer within `timeout_s`, by name.

    Raises:
        MdnsUnavailable: the network cannot be asked.
    """
    zeroconf = _open(where)
    names: dict[str, None] = {}
    try:
        from zeroconf import DNSQuestionType
        from zeroconf.asyncio import AsyncServiceBrowser

        def heard(*, name: str, **_: Any) -> None:
            if len(names) < MOST_FOUND:
                names[name] = None

        # Not QU: where two programs share the port, an answer to one alone may reach the other.
        browser = AsyncServiceBrowser(
            zeroconf.zeroconf, SERVICE, handlers=[heard], question_type=DNSQuestionType.QM
        )
        await asyncio.sleep(timeout_s)
        answers = await asyncio.gather(*(_resolve(zeroconf, name) for name in names))
        await browser.async_cancel()
    finally:
        with contextlib.suppress(Exception):  # as above
            async with asyncio.timeout(_WITHDRAW_S):
                await zeroconf.async_close()
    return sorted((one for one in answers if one is not None), key=lambda one: one.name)


async def _resolve(zeroconf: AsyncZeroconf, name: str) -> Found | None:
    info = await zeroconf.async_get_service_info(SERVICE, name, timeout=round(_RESOLVE_S * 1000))
    if info is None or info.port is None:
        return None
    return found(
        instance=name,
        host=info.server or "",
        addresses=tuple(info.parsed_addresses()),
        port=info.port,
        txt=info.properties,
    )


def _open(where: Where) -> AsyncZeroconf:
    try:
        from zeroconf import InterfaceChoice
        from zeroconf.asyncio import AsyncZeroconf
    except ImportError:
        raise MdnsUnavailable(NOT_INSTALLED) from None
    for address in where.interfaces:
        _check_own(address)
    try:
        return AsyncZeroconf(list(where.interfaces) or InterfaceChoice.Default)
    except (OSError, RuntimeError, ValueError) as error:
        raise MdnsUnavailable(f"multicast cannot be had: {error}") from None


def _check_own(address: str) -> None:
    """See that this machine has an address; zeroconf leaves a socket open where it has not."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            raise MdnsUnavailable(f"multicast cannot be had at {address}: {error}") from None
