"""Which gateway a node host goes to, with what, and what it is made of.

Guarantees: a setup code alone brings nothing else of this machine to the gateway it names; its
gateway is remembered once it has let the node in.
"""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from portico import __version__
from portico.cli.command import Remote
from portico.cli.exit import ExitCode, Failure
from portico.cli.target import Target, resolve_target
from portico.client.model import Credentials

if TYPE_CHECKING:
    from portico.client import ClientSettings
    from portico.config.model import PorticoConfig
    from portico.config.paths import ConfigPaths
    from portico.devices.setup_code import SetupCode
    from portico.node_host.children import Children
    from portico.node_host.host import NodeHost
    from portico.node_host.state import Home


def folder_of(paths: ConfigPaths) -> Path:
    """Where a node host keeps its key, its tokens and its state."""
    from portico.node_host.state import FOLDER

    return paths.state_dir / FOLDER


def host_of(
    to: Remote,
    pair: str | None,
    display_name: str | None,
    *,
    config: PorticoConfig,
    paths: ConfigPaths,
    children: Children,
) -> NodeHost:
    """Return the node host a command line means.

    Raises:
        Failure: the setup code or the address makes no sense.
    """
    from portico.clock import SystemClock
    from portico.config.paths import home_of
    from portico.node_host.build import build_host

    target, home = _target(to, pair, paths)
    name = display_name or config.node_host.display_name or socket.gethostname() or "node"
    settings = _client_settings(target, name, to, folder_of(paths))
    if home is not None:
        settings = replace(settings, on_connected=lambda _hello: _keep(paths, home))
    named = config.approvals.policy_file
    return build_host(
        config.node_host,
        client=settings,
        operator=_operator(settings),
        folder=folder_of(paths),
        policy_file=Path(named) if named else paths.exec_approvals,
        children=children,
        env=os.environ,
        home=home_of(os.environ),
        pid=os.getpid(),
        clock=SystemClock(),
    )


def _keep(paths: ConfigPaths, home: Home) -> None:
    from portico.node_host.state import keep_home

    keep_home(folder_of(paths), home)


def _target(to: Remote, pair: str | None, paths: ConfigPaths) -> tuple[Target, Home | None]:
    """The gateway of the setup code (to be remembered), of the command line, or of last time."""
    from portico.node_host.state import Home, read_home

    has_secret = to.token is not None or to.password is not None
    if pair is not None:
        code = _setup_code(pair)
        pin = to.tls_fingerprint or code.tls_fingerprint
        target = resolve_target(replace(to, url=to.url or code.url, tls_fingerprint=pin))
        given = target.credentials if has_secret else Credentials()
        given = replace(given, bootstrap_token=code.bootstrap_token)
        return replace(target, credentials=given), Home(target.url, pin)
    is_named = to.url is not None or "PORTICO_GATEWAY_URL" in os.environ
    known = None if is_named else read_home(folder_of(paths))
    if known is None:
        return resolve_target(to), None
    pin = to.tls_fingerprint or known.tls_fingerprint
    target = resolve_target(replace(to, url=known.url, tls_fingerprint=pin))
    if not has_secret:  # it has a token of its own, from that gateway
        target = replace(target, credentials=Credentials())
    return target, None


def _setup_code(text: str) -> SetupCode:
    from portico.clock import SystemClock
    from portico.devices.setup_code import BadSetupCode, decode

    try:
        return decode(text, now_ms=SystemClock().now_ms())
    except BadSetupCode as error:
        raise Failure(
            f"The setup code cannot be used: {error}.",
            code="usage.pair",
            next_step="Make one on the gateway: portico qr",
            exit_code=ExitCode.USAGE,
        ) from None


def _client_settings(target: Target, name: str, to: Remote, folder: Path) -> ClientSettings:
    from portico.client import ClientName, ClientSettings, DeviceTokens, load_or_create_identity
    from portico.client.opening import IDENTITY_FILE, TOKENS_FILE
    from portico.protocol.scopes import Role

    return ClientSettings(
        url=target.url,
        credentials=target.credentials,
        name=ClientName(
            id="node-host",
            mode="node",
            version=__version__,
            platform=platform.system().lower(),
            display_name=name,
        ),
        role=Role.NODE,
        scopes=(),
        device=load_or_create_identity(folder / IDENTITY_FILE),
        tokens=DeviceTokens(folder / TOKENS_FILE),
        reconnect=True,
        keeps_trying=True,
        waits_for_approval=True,
        tls=target.tls,
        connect_timeout_s=to.timeout_s,
    )


def _operator(settings: ClientSettings) -> ClientSettings | None:
    """What may ask a person: the operator's secret, or the operator's token of a setup code."""
    from portico.client import ClientName
    from portico.protocol.scopes import Role, Scope

    tokens = settings.tokens
    has_token = tokens is not None and tokens.find(settings.url, Role.OPERATOR) is not None
    if not (settings.credentials.token or settings.credentials.password or has_token):
        return None
    name = ClientName("gateway-client", "backend", __version__, settings.name.platform)
    return replace(
        settings,
        name=name,
        role=Role.OPERATOR,
        scopes=(Scope.APPROVALS,),
        reconnect=False,
        keeps_trying=False,
        waits_for_approval=False,
    )
