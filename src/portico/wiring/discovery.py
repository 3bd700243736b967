"""Discovery and reach: what the room is constructed from."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp

from portico.discovery.service import Discovery, Entrance, RouteTo
from portico.net.bind import LOOPBACK
from portico.net.certificate import served_fingerprint
from portico.net.interfaces import is_container, own_addresses, tailnet_address
from portico.process.lock import read_lock
from portico.tasks import Tasks

if TYPE_CHECKING:
    from portico.config import LoadedConfig
    from portico.config.model import PorticoConfig
    from portico.config.paths import ConfigPaths
    from portico.discovery.mdns import Advertiser
    from portico.discovery.records import Beacon
    from portico.discovery.tailscale import TailscaleRoute


def build_discovery(
    loaded: LoadedConfig,
    *,
    env: Mapping[str, str],
    tasks: Tasks,
    app: ASGIApp,
    websocket: type[asyncio.Protocol],
    entered: Callable[[int], None],
) -> Discovery:
    """Construct the ways by which others find the gateway and get to it.

    Args:
        app, websocket: what is behind the port.
        entered: hears of the port that only Tailscale is told of.
    """
    config, paths = loaded.require(), loaded.paths
    is_served = config.gateway.tailscale.mode != "off"
    route_to = _route_to(config, paths, env)
    return Discovery(
        tasks=tasks,
        advertiser=_advertiser(config, paths),
        entrance=_entrance(app, websocket, tasks) if is_served else None,
        route_to=route_to if is_served else None,
        entered=entered,
        tailnet_name=lambda: _tailnet_name(route_to),
    )


def _entrance(app: ASGIApp, websocket: type[asyncio.Protocol], tasks: Tasks) -> Entrance:
    from portico.web import entrance

    return entrance.Entrance(app, websocket, name="tailscale.http", tasks=tasks)


async def _tailnet_name(route_to: RouteTo) -> str | None:
    """This machine's name in the tailnet; the program is asked only where there is one."""
    if tailnet_address(own_addresses()) is None:
        return None
    return await route_to(0).name()


def _advertiser(config: PorticoConfig, paths: ConfigPaths) -> Advertiser | None:
    mdns = config.discovery.mdns
    mode, interfaces, name = mdns.mode, mdns.interfaces, mdns.name
    ssh_port = mdns.ssh_port
    if mode == "off" or (mode is None and not _is_worth_telling(config)):
        return None
    from portico.discovery.mdns import Advertiser, Where
    from portico.discovery.records import Beacon

    def beacon() -> Beacon:
        host = socket.gethostname().partition(".")[0] or "portico"
        has_tls = config.gateway.tls.enabled
        return Beacon(
            name=name or host,
            lan_host=host,
            port=_port(config, paths),
            has_tls=has_tls,
            tls_sha256=served_fingerprint(config, paths),
            ssh_port=ssh_port if mode == "full" else None,
            cli_path=shutil.which("portico") if mode == "full" else None,
        )

    return Advertiser(
        beacon=beacon,
        addresses=lambda: interfaces or _addresses(paths),
        where=Where(interfaces),
    )


def _is_worth_telling(config: PorticoConfig) -> bool:
    """Whether others could come, and hear of it; when nobody has said that they shall."""
    is_reachable = config.gateway.bind in {"lan", "custom"}
    return is_reachable and importlib.util.find_spec("zeroconf") is not None and not is_container()


def _port(config: PorticoConfig, paths: ConfigPaths) -> int:
    state = read_lock(paths.lock_file)
    return (state.info.port if state and state.info else 0) or config.gateway.port


def _addresses(paths: ConfigPaths) -> tuple[str, ...]:
    """The addresses the gateway listens on, without the one only this machine has."""
    state = read_lock(paths.lock_file)
    listed = state.info.addresses if state and state.info else ()
    hosts = (urlsplit(url).hostname or "" for url in listed)
    return tuple(host for host in hosts if host not in {LOOPBACK, "::1", ""}) or own_addresses()


def _route_to(config: PorticoConfig, paths: ConfigPaths, env: Mapping[str, str]) -> RouteTo:
    given = config.gateway.tailscale
    settings = partial(
        _route,
        mode="funnel" if given.mode == "funnel" else "serve",
        https_port=given.https_port,
        note=paths.state_dir / "gateway" / "tailscale-route",
        program=given.program,
        env=env,
        timeout_s=given.command_timeout_ms / 1000,
        retry_s=given.retry_ms / 1000,
        reset_on_exit=given.reset_on_exit,
    )
    return lambda port: settings(target=f"http://{LOOPBACK}:{port}")


def _route(**settings: Any) -> TailscaleRoute:
    from portico.discovery.tailscale import RouteSettings, TailscaleRoute

    return TailscaleRoute(RouteSettings(**settings))
