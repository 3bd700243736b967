"""Which gateway a command talks to, and with what credentials.

Order: `--url`, then `PORTICO_GATEWAY_URL`, then `gateway.remote.url` when the configuration says
`gateway.mode: "remote"`, then this machine's gateway: the address in its lock file when it runs,
else the configured port.

Guarantees: the secret of this machine's configuration is never sent to another machine; a remote
connection is signed with this machine's device key; a fingerprint, wherever it comes from, is
compared before anything is sent.
"""

from __future__ import annotations

import os
import platform
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portico import __version__
from portico.cli.command import Local, Remote
from portico.cli.exit import ExitCode, Failure
from portico.client.connection import is_loopback
from portico.client.model import ClientName, ClientSettings, Credentials
from portico.config.paths import ConfigPaths, resolve_paths

if TYPE_CHECKING:
    from portico.client import GatewayClient
    from portico.config.service import LoadedConfig

DEFAULT_PORT = 18789
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


@dataclass(frozen=True, slots=True)
class Target:
    """A gateway's address and how to get in.

    Attributes:
        is_own: it is the gateway of this machine's state directory; nobody named another.
    """

    url: str
    credentials: Credentials
    paths: ConfigPaths
    tls: ssl.SSLContext | None = None
    is_own: bool = False


def paths_of(here: Local, env: Mapping[str, str] | None = None) -> ConfigPaths:
    """The files this command works with."""
    env = os.environ if env is None else env
    return resolve_paths(env=env, config=here.config, state_dir=here.state_dir)


def resolve_target(to: Remote, env: Mapping[str, str] | None = None) -> Target:
    """Decide which gateway is meant.

    Raises:
        Failure: the URL or the fingerprint makes no sense.
    """
    env = os.environ if env is None else env
    paths = paths_of(to, env)
    given = Credentials(
        token=to.token or env.get("PORTICO_GATEWAY_TOKEN"),
        password=to.password or env.get("PORTICO_GATEWAY_PASSWORD"),
    )
    explicit = to.url or env.get("PORTICO_GATEWAY_URL")
    pin = to.tls_fingerprint or env.get("PORTICO_GATEWAY_TLS_FINGERPRINT")
    if pin is not None:
        target = _target(explicit, paths, given, env)
        return replace(target, tls=_pinned(target.url, pin))
    return _target(explicit, paths, given, env)


def _target(
    explicit: str | None, paths: ConfigPaths, given: Credentials, env: Mapping[str, str]
) -> Target:
    if explicit is not None:
        url = websocket_url(explicit)
        if given or not is_loopback(url):
            tls = _tls(url, paths, env) if is_loopback(url) else None
            return Target(url, given, paths, tls)
        return Target(url, _local_credentials(_load(paths, env)), paths, _tls(url, paths, env))
    return _configured(paths, given, env)


def _configured(paths: ConfigPaths, given: Credentials, env: Mapping[str, str]) -> Target:
    loaded = _load(paths, env)
    gateway = _section(loaded.resolved, "gateway")
    remote = _section(gateway, "remote")
    if gateway.get("mode") == "remote" and isinstance(remote.get("url"), str):
        theirs = Credentials(token=remote.get("token"), password=remote.get("password"))
        url = websocket_url(remote["url"])
        return Target(url, given or theirs, paths, _remote_tls(url, remote))
    url = running_url(paths) or _local_url(gateway)
    credentials = given or _local_credentials(loaded)
    return Target(url, credentials, paths, _tls(url, paths, env), is_own=True)


def _remote_tls(url: str, remote: Mapping[str, Any]) -> ssl.SSLContext | None:
    """What is believed of another machine's gateway; `None`: what this machine believes anyway."""
    pin, authorities = remote.get("tlsFingerprint"), remote.get("tlsCaPath")
    if isinstance(pin, str):
        return _pinned(url, pin)
    if not isinstance(authorities, str) or not url.startswith("wss"):
        return None
    file = Path(authorities).expanduser()
    try:
        return ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise Failure(
            f"gateway.remote.tlsCaPath: {file} cannot be used: {error}.",
            code="config.ca",
            next_step="Name a PEM file of the authority that signed the gateway's certificate",
            exit_code=ExitCode.CONFIG,
        ) from None


def _pinned(url: str, fingerprint: str) -> ssl.SSLContext:
    from portico.client.pinning import pinned

    if not url.startswith("wss"):
        raise Failure(
            f"{url} has no certificate that a fingerprint could be compared with.",
            code="usage.fingerprint",
            next_step=f"Use wss{url.removeprefix('ws')}, or leave the fingerprint out",
            exit_code=ExitCode.USAGE,
        )
    try:
        return pinned(fingerprint)
    except ValueError as error:
        raise Failure(
            f"{fingerprint} is not the fingerprint of a certificate: {error}.",
            code="usage.fingerprint",
            next_step="portico gateway status shows it, on the gateway's machine",
            exit_code=ExitCode.USAGE,
        ) from None


def websocket_url(text: str) -> str:
    """Return a gateway address as a WebSocket URL; `host:port` alone means `ws://`.

    Raises:
        Failure: it is not a gateway address.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "ws", text
    host = rest.partition("/")[0]
    if scheme.lower() not in _SCHEMES or not host:
        raise Failure(
            f"{text} is not the address of a gateway.",
            code="usage.url",
            next_step="Write it like ws://127.0.0.1:18789 or https://gateway.example.com",
            exit_code=ExitCode.USAGE,
        )
    return f"{_SCHEMES[scheme.lower()]}://{rest.partition('#')[0]}"


def running_url(paths: ConfigPaths) -> str | None:
    """The WebSocket address of the gateway that holds this state directory's lock."""
    from portico.process.lock import read_lock

    state = read_lock(paths.lock_file)
    if state is None or not state.is_held or state.info is None or not state.info.url:
        return None
    return websocket_url(state.info.url)


def own_fingerprint(paths: ConfigPaths, env: Mapping[str, str] | None = None) -> str | None:
    """The SHA-256 of the certificate of this machine's gateway; `None`: it has no TLS."""
    from portico.net.certificate import served_fingerprint

    loaded = _load(paths, os.environ if env is None else env)
    return None if loaded.config is None else served_fingerprint(loaded.config, paths)


def _load(paths: ConfigPaths, env: Mapping[str, str]) -> LoadedConfig:
    from portico.config.service import load

    return load(paths, env=env)


def _section(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = tree.get(name)
    return value if isinstance(value, dict) else {}


def _local_url(gateway: Mapping[str, Any]) -> str:
    port = gateway.get("port")
    scheme = "wss" if _section(gateway, "tls").get("enabled") is True else "ws"
    return f"{scheme}://127.0.0.1:{port if isinstance(port, int) else DEFAULT_PORT}"


def _local_credentials(loaded: LoadedConfig) -> Credentials:
    auth = _section(_section(loaded.resolved, "gateway"), "auth")
    token, password, mode = auth.get("token"), auth.get("password"), auth.get("mode")
    is_unreadable = not (token or password) and not loaded.valid  # see: recovery mode
    if is_unreadable or mode in {"device", "trusted-proxy"}:
        return Credentials(token=_local_secret(loaded.paths))
    return Credentials(
        token=token if isinstance(token, str) and mode != "password" else None,
        password=password if isinstance(password, str) and mode != "token" else None,
    )


def _local_secret(paths: ConfigPaths) -> str | None:
    """What the gateway wrote down for this account's commands, where others have no secret."""
    try:
        return paths.local_secret.read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None


def _tls(url: str, paths: ConfigPaths, env: Mapping[str, str]) -> ssl.SSLContext | None:
    """Trust this machine's own certificate for this machine's own gateway."""
    if not url.startswith("wss"):
        return None
    tls = _section(_section(_load(paths, env).resolved, "gateway"), "tls")
    named = tls.get("certPath")
    found = (
        [Path(named).expanduser()]
        if isinstance(named, str)
        else sorted(paths.tls_dir.glob("*cert*.pem"))
    )
    context = ssl.create_default_context()
    context.check_hostname = False  # the name on it is the public one, the address 127.0.0.1
    for file in found:
        if file.is_file():
            context.load_verify_locations(file)
    return context


def client_settings(
    target: Target,
    *,
    timeout_s: float,
    name: ClientName | None = None,
    caps: tuple[str, ...] = (),
    reconnect: bool = False,
    gives_up_after_s: float | None = None,
) -> ClientSettings:
    """Settings of a client of the target; a remote one gets this machine's device key."""
    from portico.client.identity import load_or_create_identity
    from portico.client.opening import IDENTITY_FILE, TOKENS_FILE
    from portico.client.tokens import DeviceTokens

    device, tokens = None, None
    if not is_loopback(target.url):
        device = load_or_create_identity(target.paths.state_dir / IDENTITY_FILE)
        tokens = DeviceTokens(target.paths.state_dir / TOKENS_FILE)
    return ClientSettings(
        url=target.url,
        credentials=target.credentials,
        name=name or ClientName(version=__version__, platform=platform.system().lower()),
        caps=caps,
        device=device,
        tokens=tokens,
        reconnect=reconnect,
        gives_up_after_s=gives_up_after_s,
        tls=target.tls,
        connect_timeout_s=timeout_s,
    )


@asynccontextmanager
async def connected(
    to: Remote,
    *,
    target: Target | None = None,
    caps: tuple[str, ...] = (),
    reconnect: bool = False,
    gives_up_after_s: float | None = None,
) -> AsyncIterator[GatewayClient]:
    """A connected client of the gateway the options mean."""
    from portico.client import GatewayClient

    settings = client_settings(
        target or resolve_target(to),
        timeout_s=to.timeout_s,
        caps=caps,
        reconnect=reconnect,
        gives_up_after_s=gives_up_after_s,
    )
    async with GatewayClient(settings) as client:
        yield client
