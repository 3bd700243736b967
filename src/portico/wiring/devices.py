"""Devices and pairing: what the room is constructed from, and where a setup code leads."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from portico.audit.service import Audit
from portico.auth.bootstrap import Bootstrap
from portico.auth.devices import Devices
from portico.auth.model import Principal
from portico.auth.peer import is_loopback
from portico.auth.pending import PendingLimits
from portico.auth.service import Authenticator
from portico.certificate import served_fingerprint
from portico.clock import Clock
from portico.config.live import LiveConfig
from portico.devices.join import JoinLinks
from portico.devices.model import Connections, NodeBook
from portico.devices.patrol import Patrol
from portico.devices.rpc import DeviceMethods, ScopeMethods
from portico.devices.rpc_setup import SetupMethods
from portico.devices.service import Aftermath
from portico.devices.setup import Reach, SetupDesk
from portico.devices.setup_code import MOST_URLS, is_private_enough, websocket_url
from portico.devices.upgrades import ScopeUpgrades
from portico.events.hub import Hub
from portico.lock import read_lock
from portico.store import Store

if TYPE_CHECKING:
    from portico.config.model import PorticoConfig
    from portico.web.control_plane import ControlPlane

log = structlog.get_logger()

REMOVED = (4001, "device removed")  # the protocol's, whatever was taken from the device
_ONLY_HERE = (
    "Gateway is only bound to loopback. Set gateway.bind to lan, or give the address at which"
    " others reach it."
)


def build_device_book(
    config: PorticoConfig, *, store: Store, clock: Clock, hub: Hub, secret: str | None
) -> Devices:
    """Construct the device book."""
    pairing = config.gateway.nodes.pairing
    return Devices(
        store,
        clock,
        hub.publish,
        secret=secret,
        limits=PendingLimits(
            ttl_ms=pairing.request_ttl_ms,
            in_all=pairing.max_pending,
            from_one_address=pairing.max_pending_per_address,
        ),
        bootstrap=Bootstrap(
            store,
            clock,
            hub.publish,
            ttl_ms=pairing.setup_code_ttl_ms,
            most=pairing.max_setup_codes,
        ),
    )


class DeviceParts:
    """The room of devices.

    Args:
        lock_file: says where this gateway listens.
        nodes: hears of devices of role `node`.
    """

    def __init__(
        self,
        live: LiveConfig,
        *,
        devices: Devices,
        authenticator: Authenticator,
        audit: Audit,
        clock: Clock,
        plane: Callable[[], ControlPlane],
        lock_file: Path,
        nodes: NodeBook | None = None,
    ) -> None:
        connections = PlaneConnections(plane)
        aftermath = Aftermath(connections=connections, audit=audit, nodes=nodes)
        upgrades = ScopeUpgrades(devices=devices, clock=clock)
        devices.listen(aftermath.heard)
        devices.listen(upgrades.heard)
        self.links = JoinLinks(clock)
        desk = SetupDesk(
            bootstrap=devices.bootstrap,
            links=self.links,
            reach=GatewayReach(live, lock_file),
            secret_kind=lambda: authenticator.settings.secret_kind,
            has_tls=lambda: live.loaded.require().gateway.tls.enabled,
        )
        self.connections: Connections = connections
        self.patrol = Patrol(devices=devices, connections=connections)
        self.methods: tuple[object, ...] = (
            DeviceMethods(devices=devices, connections=connections),
            ScopeMethods(upgrades),
            SetupMethods(desk=desk, bootstrap=devices.bootstrap, audit=audit),
        )


class PlaneConnections:
    """The connections of the control plane, which is built last."""

    def __init__(self, plane: Callable[[], ControlPlane]) -> None:
        self._plane = plane

    def connected_devices(self) -> Collection[str]:
        """Return the devices that are connected."""
        return self._plane().connected_devices()

    def principals(self) -> Collection[Principal]:
        """Return who is connected."""
        return self._plane().principals()

    def close_device(
        self, device_id: str, *, role: str | None, keep: Principal | None = None
    ) -> None:
        """Close what a device has open."""

        def applies(principal: Principal) -> bool:
            if principal is keep or principal.device_id != device_id:
                return False
            return role is None or principal.role == role

        code, reason = REMOVED
        self._plane().close_where(applies, code=code, reason=reason)


class GatewayReach:
    """Where others find this gateway."""

    def __init__(self, live: LiveConfig, lock_file: Path) -> None:
        self._live = live
        self._lock_file = lock_file

    def __call__(self, prefer_remote: bool) -> Reach:  # noqa: FBT001 - the only argument
        """Return the address for a setup code."""
        gateway = self._live.loaded.require().gateway
        remote = gateway.remote.url
        if remote and (prefer_remote or not self._urls()):
            url = websocket_url(remote)
            problem = "Configured gateway.remote.url is invalid."
            return Reach(url, "gateway.remote.url", gateway.remote.tls_fingerprint, problem)
        urls = self._urls()
        if not urls:
            return Reach(None, problem=_ONLY_HERE)
        loaded = self._live.loaded
        fingerprint = served_fingerprint(loaded.require(), loaded.paths)
        return Reach(urls[0], f"gateway.bind={gateway.bind}", fingerprint, urls=urls)

    def _urls(self) -> tuple[str, ...]:
        """The addresses others may use, those of IPv4 first."""
        state = read_lock(self._lock_file)
        listed = state.info.addresses if state is not None and state.info is not None else ()
        urls = [url for url in map(websocket_url, listed) if url and is_private_enough(url)]
        others = [url for url in urls if not is_loopback(urlsplit(url).hostname or "")]
        return tuple(sorted(others, key=lambda url: "[" in url)[:MOST_URLS])
