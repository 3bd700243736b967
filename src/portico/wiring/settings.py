"""From the configuration to the settings that services are constructed with."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from portico import __version__
from portico.approvals.policy import ExecPolicy
from portico.approvals.service import ApprovalSettings
from portico.audit.service import Retention
from portico.auth.rate_limit import RateLimitSettings
from portico.auth.service import AuthSettings
from portico.auth.tailscale import TailscaleSettings, Whois
from portico.auth.trusted_proxy import TrustedProxyRules
from portico.channels.model import InboundMessage
from portico.clock import Clock
from portico.config.atomic import write_atomic
from portico.config.checks import allows_tailscale, auth_mode
from portico.config.first_run import make_private_directory
from portico.events.presence import PresenceEntry
from portico.fetch import FetchSettings
from portico.ids import new_secret
from portico.inbox.policy import DoorPolicy
from portico.net.certificate import ServerCertificate, certificate_files, ensure_certificate
from portico.web.control_plane import SocketLimits

if TYPE_CHECKING:
    from portico.config import LoadedConfig
    from portico.config.model import PorticoConfig
    from portico.config.paths import ConfigPaths
    from portico.web.openai.http import OpenAISettings

log = structlog.get_logger()


class Vouching:
    """Whose messages the operator vouches for."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted = frozenset(trusted)

    def trust(self, trusted: Iterable[str]) -> None:
        """Vouch for others from now on."""
        self._trusted = frozenset(trusted)

    def __call__(self, message: InboundMessage) -> bool:
        """Whether somebody's message is vouched for."""
        names = (message.channel, f"{message.channel}:{message.sender}")
        return not self._trusted.isdisjoint(names)


def exec_policy(loaded: LoadedConfig, env: Mapping[str, str], clock: Clock) -> ExecPolicy:
    """Return what agents may run on this machine without asking."""
    given = loaded.require().approvals.policy_file
    path = Path(given) if given else loaded.paths.exec_approvals
    return ExecPolicy(path, search_path=env.get("PATH", os.defpath), clock=clock)


def approval_settings(config: PorticoConfig) -> ApprovalSettings:
    """Return how approvals are asked for."""
    given = config.approvals
    return ApprovalSettings(given.timeout_seconds, given.wait_for_client, given.max_pending)


def audit_retention(config: PorticoConfig) -> Retention:
    """Return how long changes are remembered."""
    return Retention(days=config.audit.retention_days, entries=config.audit.max_entries)


def auth_settings(
    config: PorticoConfig, paths: ConfigPaths, *, quietly: bool = False
) -> AuthSettings:
    """Return how clients prove themselves; a missing token is made up for this run."""
    auth, mode = config.gateway.auth, auth_mode(config)
    limit = auth.rate_limit
    token = auth.token
    if mode == "token" and not token:
        token = new_secret()
        if not quietly:
            note = "no token configured; clients need one of their own"
            log.warning("auth.runtime_token", note=note)
    return AuthSettings(
        mode=mode,
        token=token,
        password=auth.password,
        allowed_origins=allowed_origins(config),
        trusted_proxies=config.gateway.trusted_proxies,
        auto_approve_local=config.gateway.nodes.pairing.auto_approve_local,
        auto_approve_tailnet=config.gateway.nodes.pairing.auto_approve_tailnet,
        auto_approve_cidrs=config.gateway.nodes.pairing.auto_approve_cidrs,
        rate_limit=RateLimitSettings(
            limit.max_attempts, limit.window_ms, limit.lockout_ms, limit.exempt_loopback
        ),
        proxy=_proxy_rules(config),
        allow_real_ip=config.gateway.allow_real_ip_fallback,
        allow_tailscale=allows_tailscale(config),
        identity_scopes=auth.identity_scopes,
        local_secret=local_secret(paths) if mode in {"device", "trusted-proxy"} else None,
    )


def allowed_origins(config: PorticoConfig) -> tuple[str, ...]:
    """Return the origins whose pages may connect."""
    own = config.gateway.public_origin
    return (*config.gateway.control_ui.allowed_origins, *((own,) if own else ()))


def _proxy_rules(config: PorticoConfig) -> TrustedProxyRules:
    given = config.gateway.auth.trusted_proxy
    approve = given.device_auto_approve
    scopes = approve.scopes
    return TrustedProxyRules(
        proxies=config.gateway.trusted_proxies,
        user_header=given.user_header.lower(),
        required_headers=tuple(name.lower() for name in given.required_headers),
        allow_users=given.allow_users,
        allow_loopback=given.allow_loopback,
        device_scopes=scopes if approve.enabled else None,
    )


def local_secret(paths: ConfigPaths) -> str:
    """Return the secret of this machine's own commands, where others have none; make it once.

    Raises:
        OSError: it can be neither read nor written.
    """
    file = paths.local_secret
    if not file.is_file():
        make_private_directory(file.parent)
        write_atomic(file, new_secret() + "\n")
    return file.read_text(encoding="ascii").strip()


def whois(config: PorticoConfig, env: Mapping[str, str], clock: Clock) -> Whois:
    """Return who is asked for the users of the tailnet."""
    given = config.gateway.tailscale
    settings = TailscaleSettings(
        socket=given.socket, program=given.program, env=env, timeout_s=given.timeout_ms / 1000
    )
    return Whois(settings, clock)


def server_certificate(loaded: LoadedConfig, clock: Clock) -> ServerCertificate:
    """Return the TLS side of the port."""
    config, paths = loaded.require(), loaded.paths
    return ServerCertificate(
        certificate_files(config, paths),
        clock=clock,
        ensure=lambda: ensure_certificate(config, paths, now_ms=clock.now_ms()),
        watch_s=config.gateway.tls.watch_ms / 1000,
    )


def message_api_policy(config: PorticoConfig) -> DoorPolicy:
    """Return the rules of the gateway message API."""
    rules = config.gateway.messages
    return DoorPolicy(
        allow_senders=None if rules.allow_users is None else frozenset(rules.allow_users),
        require_mention=rules.require_mention,
        mention_patterns=rules.mention_patterns,
    )


def openai_settings(config: PorticoConfig) -> OpenAISettings | None:
    """Return which parts of the OpenAI-compatible API are there; `None`: it costs nothing."""
    doors = config.gateway.http.endpoints
    chat, responses = doors.chat_completions, doors.responses
    if not (chat.enabled or responses.enabled):
        return None
    from portico.web.openai.http import OpenAISettings

    return OpenAISettings(
        chat_body_bytes=chat.max_body_bytes if chat.enabled else None,
        responses_body_bytes=responses.max_body_bytes if responses.enabled else None,
        max_images=chat.max_image_parts,
        max_urls=responses.max_url_parts,
    )


def web_fetch_settings(config: PorticoConfig) -> FetchSettings:
    """Return what agents may read of the web."""
    fetch = config.tools.web.fetch
    private = fetch.allow_private
    return FetchSettings(
        allow_private=private is True,
        private_hosts=() if isinstance(private, bool) else private,
        timeout_s=fetch.timeout_seconds,
        max_redirects=fetch.max_redirects,
        headers={"user-agent": fetch.user_agent} if fetch.user_agent else {},
    )


def socket_limits(config: PorticoConfig) -> SocketLimits:
    """Return the limits of the WebSocket door."""
    limits = config.gateway.limits
    return SocketLimits(**{name: getattr(limits, name) for name in SocketLimits.__annotations__})


def self_presence(boot_id: str, now_ms: int) -> PresenceEntry:
    """Return the gateway's own entry in the presence list."""
    host = socket.gethostname()
    return PresenceEntry(
        host=host,
        version=__version__,
        platform=f"{platform.system().lower()} {platform.release()}",
        device_family=platform.system(),
        mode="gateway",
        reason="self",
        instance_id=boot_id,
        text=f"Gateway: {host} · app {__version__} · mode gateway · reason self",
        ts=now_ms,
    )


def shown_store(url: str) -> str:
    """Return where the database is, without credentials, as administrators see it."""
    if url.startswith("sqlite:///"):
        return url.removeprefix("sqlite:///")
    return "postgresql://" + url.rpartition("@")[2].partition("?")[0].removeprefix("postgresql://")
