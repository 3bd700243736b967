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
from portico.client.pinning import normal_fingerprint
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
from portico.net.certificate import served_fingerprint
from portico.process.lock import read_lock
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
        limits=pending_limits(config),
        bootstrap=Bootstrap(
            store,
            clock,
            hub.publish,
            ttl_ms=pairing.setup_code_ttl_ms,
            most=pairing.max_setup_codes,
        ),
    )


def pending_limits(config: PorticoConfig) -> PendingLimits:
    """Return how many requests may wait, and how long."""
    pairing = config.gateway.nodes.pairing
    return PendingLimits(
        ttl_ms=pairing.request_ttl_ms,
        in_all=pairing.max_pending,
        from_one_address=pairing.max_pending_per_address,
    )


class DeviceParts:
    """The room of devices.

    Args:
        lock_file: says where this gateway listens.
        nodes: hears of devices of role `node`.
        published: the address somebody else serves this gateway under, such as Tailscale.
    """

    def __init__(
        self,
        live: LiveConfig,
        *,
        devices: Devices,
        authenticator: Authenticator,
        audit: Audit,
        clock: Clock,
        store: Store,
        plane: Callable[[], ControlPlane],
        lock_file: Path,
        nodes: NodeBook | None = None,
        published: Callable[[], str | None] = lambda: None,
    ) -> None:
        connections = PlaneConnections(plane)
        aftermath = Aftermath(connections=connections, audit=audit, nodes=nodes)
        upgrades = ScopeUpgrades(devices=devices, clock=clock)
        devices.listen(aftermath.heard)
        devices.listen(upgrades.heard)
        self.links = JoinLinks(store, clock)
        desk = SetupDesk(
            bootstrap=devices.bootstrap,
            links=self.links,
            whereabouts=GatewayWhereabouts(live, lock_file, published),
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


class GatewayWhereabouts:
    """Where others find this gateway.

    Args:
        lock_file: says where it listens.
        published: the address somebody else serves it under, such as Tailscale.
    """

    def __init__(
        self,
        live: LiveConfig,
        lock_file: Path,
        published: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._live = live
        self._lock_file = lock_file
        self._published = published

    def reach(self, *, prefer_remote: bool) -> Reach:
        """Return where."""
        gateway = self._live.loaded.require().gateway
        remote, own = gateway.remote.url, self._others()
        if remote and prefer_remote:
            return self._remote(remote)
        if origin := gateway.public_origin:
            return Reach(websocket_url(origin), "gateway.publicOrigin")
        if published := self._published():
            return Reach(
                websocket_url(published), f"gateway.tailscale.mode={gateway.tailscale.mode}"
            )
        if own:
            return Reach(
                own[0], f"gateway.bind={gateway.bind}", self.fingerprint_at(own[0]), urls=own
            )
        return self._remote(remote) if remote else Reach(None, problem=_ONLY_HERE)

    def fingerprint_at(self, url: str) -> str | None:
        """Return what the gateway's certificate is known by, if the address is its very own."""
        if not url.startswith("wss://") or url not in self._own():
            return None
        loaded = self._live.loaded
        return served_fingerprint(loaded.require(), loaded.paths)

    def _remote(self, url: str) -> Reach:
        pin = self._live.loaded.require().gateway.remote.tls_fingerprint
        return Reach(
            websocket_url(url),
            "gateway.remote.url",
            normal_fingerprint(pin) if pin else None,
            problem="Configured gateway.remote.url is invalid.",
        )

    def _own(self) -> list[str]:
        """Every address the gateway listens on."""
        state = read_lock(self._lock_file)
        listed = state.info.addresses if state is not None and state.info is not None else ()
        return [url for url in map(websocket_url, listed) if url]

    def _others(self) -> tuple[str, ...]:
        """The addresses others may use, those of IPv4 first."""
        urls = [
            url
            for url in self._own()
            if is_private_enough(url) and not is_loopback(urlsplit(url).hostname or "")
        ]
        return tuple(sorted(urls, key=lambda url: "[" in url)[:MOST_URLS])
