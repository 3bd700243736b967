"""Judging a valid configuration: what must keep a gateway from starting, and what is only unwise.

Guarantees: reads nothing but what it is given, except the files of TLS when it is on, and
`file_issues`, which looks at permissions.
An issue of severity ERROR means: refuse to start.
Source: OpenClaw docs, gateway auth and bind rules.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Literal

from portico.config.issues import Issue, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portico.config.model import PorticoConfig
    from portico.config.paths import ConfigPaths

AuthMode = Literal["none", "token", "password", "trusted-proxy", "device"]

_PLACEHOLDERS = frozenset(
    """
    changeme change-me change_me changethis change-this secret password passw0rd token mytoken
    my-token yourtoken your-token your_token your-token-here your_token_here your-secret-token
    your-secret-here your-password your-password-here your-gateway-token replace-me replaceme
    replace-with-your-token replace_with_a_strong_token example placeholder todo xxx xxxx xxxxxxxx
    insert-token-here admin default 123456 12345678 letmein openclaw portico gateway-token
    openclaw-dev-token dev-token __portico_redacted__ __openclaw_redacted__
    """.split()
)
# Shorter than this can be guessed over a network faster than lockouts help.
MIN_EXPOSED_SECRET_CHARS = 16


def auth_mode(config: PorticoConfig) -> AuthMode:
    """The mode in force: the written one, else password when only a password is set, else token."""
    auth = config.gateway.auth
    if auth.mode is not None:
        return auth.mode
    return "password" if auth.password and not auth.token else "token"


def allows_tailscale(config: PorticoConfig) -> bool:
    """Whether users of the tailnet are let in by name."""
    given = config.gateway.auth.allow_tailscale
    if given is not None:
        return given
    is_served = config.gateway.tailscale.mode == "serve"
    return is_served and auth_mode(config) not in {"password", "trusted-proxy"}


def is_placeholder(secret: str) -> bool:
    """Whether a secret is one that guides and examples print."""
    plain = secret.strip().strip("<>[]{}\"'").lower().replace(" ", "-")
    return plain in _PLACEHOLDERS


def is_loopback_bind(config: PorticoConfig) -> bool:
    """Whether only this machine can reach the port, whatever machine this is."""
    gateway = config.gateway
    if gateway.bind == "custom" and gateway.custom_bind_host:
        import ipaddress

        return ipaddress.ip_address(gateway.custom_bind_host).is_loopback
    return gateway.bind == "loopback"


def startup_issues(config: PorticoConfig) -> tuple[Issue, ...]:
    """Everything that speaks against starting with this configuration."""
    return (
        *_mode_issues(config),
        *_auth_issues(config),
        *_bind_issues(config),
        *_proxy_issues(config),
        *_tailscale_issues(config),
        *_tls_issues(config),
        *_budget_issues(config),
        *_hook_issues(config),
    )


def file_issues(paths: ConfigPaths) -> tuple[Issue, ...]:
    """Who else may read or write the config file and the state directory."""
    return (
        *_permission_issues(paths.config_file, 0o600, "chmod 600"),
        *_permission_issues(paths.state_dir, 0o700, "chmod 700"),
    )


def _budget_issues(config: PorticoConfig) -> Iterator[Issue]:
    from portico.config.sections.agents import normal_agent_id

    known = {entry.id for entry in config.agents.roster()}
    for place, limit in enumerate(config.budgets.limits):
        if limit.scope != "agent" or limit.id is None:
            continue
        if normal_agent_id(limit.id) not in known:
            yield Issue(
                Severity.WARNING,
                f"budgets.limits[{place}].id",
                f'there is no agent "{limit.id}": this limit applies to nobody',
                "name one of: " + ", ".join(sorted(known)),
                "budget.agent",
            )


def _hook_issues(config: PorticoConfig) -> Iterator[Issue]:
    hooks, auth = config.hooks, config.gateway.auth
    if not hooks.enabled:
        return
    new = 'a secret of its own: portico config set hooks.token "$(openssl rand -hex 24)"'
    if not hooks.token:
        if not any(one.verify for one in hooks.mappings):
            yield _refuse(
                "hooks.token", "hooks are on, and nobody can use them", new, "hooks.token"
            )
    elif hooks.token in {auth.token, auth.password}:
        yield _refuse("hooks.token", "this is the gateway's own secret", new, "hooks.token.same")
    elif is_placeholder(hooks.token):
        yield _refuse(
            "hooks.token", "the token is a well-known placeholder", new, "secret.placeholder"
        )
    known = {entry.id for entry in config.agents.roster()}
    for place, one in enumerate(hooks.mappings):
        if one.agent_id is not None and one.agent_id.lower() not in known:
            yield Issue(
                Severity.WARNING,
                f"hooks.mappings[{place}].agentId",
                f'there is no agent "{one.agent_id}": what is posted there is refused',
                "name one of: " + ", ".join(sorted(known)),
                "hooks.agent",
            )


def _mode_issues(config: PorticoConfig) -> Iterator[Issue]:
    if config.gateway.mode == "remote":
        yield _refuse(
            "gateway.mode",
            "this configuration is for clients of a remote gateway",
            "to run a gateway here: portico config set gateway.mode local",
            "mode.remote",
        )


def _auth_issues(config: PorticoConfig) -> Iterator[Issue]:
    auth = config.gateway.auth
    if auth.mode is None and auth.token and auth.password:
        yield _refuse(
            "gateway.auth.mode",
            "a token and a password are set, and no mode says which counts",
            'set gateway.auth.mode to "token" or "password"',
            "auth.ambiguous",
        )
        return
    mode, exposed = auth_mode(config), not is_loopback_bind(config)
    if mode == "none":
        if exposed:
            yield _exposed(config, "gateway.auth.mode", "authentication is off")
        return
    if mode == "trusted-proxy":
        yield from _trusted_proxy_issues(config)
    if mode in {"trusted-proxy", "device"}:
        return
    path = f"gateway.auth.{mode}"
    secret = auth.token if mode == "token" else auth.password
    if secret is None or not secret.strip():
        yield from _missing_secret(config, path, mode, exposed=exposed)
    elif is_placeholder(secret):
        yield _refuse(
            path,
            f"the {mode} is a well-known placeholder",
            f'set a secret of your own: portico config set {path} "$(openssl rand -hex 24)"',
            "secret.placeholder",
        )
    elif exposed and len(secret) < MIN_EXPOSED_SECRET_CHARS:
        yield Issue(
            Severity.WARNING,
            path,
            f"the {mode} is short for a gateway others can reach",
            f"use at least {MIN_EXPOSED_SECRET_CHARS} characters",
            "secret.short",
        )


def _trusted_proxy_issues(config: PorticoConfig) -> Iterator[Issue]:
    import ipaddress

    gateway, rules = config.gateway, config.gateway.auth.trusted_proxy
    if not gateway.trusted_proxies:
        yield _refuse(
            "gateway.trustedProxies",
            "mode is trusted-proxy, but no proxy is trusted",
            "set gateway.trustedProxies to the addresses of the proxy, and of nobody else",
            "proxy.missing",
        )
    if not rules.user_header.strip():
        yield _refuse(
            "gateway.auth.trustedProxy.userHeader",
            "mode is trusted-proxy, but nothing says in which header the user is named",
            "set it to the header the proxy always overwrites, such as x-forwarded-user",
            "proxy.header",
        )
    if is_loopback_bind(config) and not rules.allow_loopback:
        yield _refuse(
            "gateway.auth.trustedProxy.allowLoopback",
            "only this machine reaches the port, and no proxy on this machine is trusted",
            "set it to true when all programs of this machine are as trusted as the proxy, or "
            'gateway.bind to "lan"',
            "proxy.loopback",
        )
    for index, entry in enumerate(gateway.trusted_proxies):
        try:
            is_everybody = ipaddress.ip_network(entry, strict=False).prefixlen == 0
        except ValueError:
            continue
        if is_everybody:
            yield _refuse(
                f"gateway.trustedProxies[{index}]",
                "everybody would be believed to be the proxy",
                "name the addresses of the proxy only",
                "proxy.everybody",
            )
    if rules.device_auto_approve.enabled and "operator.admin" in rules.device_auto_approve.scopes:
        yield Issue(
            Severity.WARNING,
            "gateway.auth.trustedProxy.deviceAutoApprove.scopes",
            "every user of the proxy becomes an administrator without being asked about",
            "name administrators in gateway.auth.identityScopes instead",
            "proxy.admin",
        )


def _tailscale_issues(config: PorticoConfig) -> Iterator[Issue]:
    gateway, mode = config.gateway, auth_mode(config)
    if gateway.tailscale.mode == "funnel" and mode != "password":
        yield _refuse(
            "gateway.tailscale.mode",
            f"funnel is for everybody on the internet, and gateway.auth.mode is {mode}",
            "set gateway.auth.mode to password and gateway.auth.password to a long one, or "
            "gateway.tailscale.mode to serve",
            "tailscale.funnel",
        )
    if gateway.tailscale.mode != "off" and mode == "none":
        yield _refuse(
            "gateway.auth.mode",
            f"authentication is off, but tailscale {gateway.tailscale.mode} lets others in",
            "set gateway.auth.token, or gateway.tailscale.mode to off",
            "bind.unauthenticated",
        )
    if gateway.auth.allow_tailscale and gateway.tailscale.mode != "serve":
        yield Issue(
            Severity.WARNING,
            "gateway.auth.allowTailscale",
            "nobody comes through Tailscale Serve: the name of a user is believed there only",
            "set gateway.tailscale.mode to serve",
            "tailscale.idle",
        )


def _missing_secret(
    config: PorticoConfig, path: str, mode: AuthMode, *, exposed: bool
) -> Iterator[Issue]:
    if exposed:
        yield _exposed(config, path, f"no {mode} is set")
    elif mode == "password":
        yield _refuse(
            path,
            "mode is password, but no password is set",
            f"set {path}, or PORTICO_GATEWAY_PASSWORD",
            "auth.missing",
        )
    else:
        yield Issue(
            Severity.WARNING,
            path,
            "no token is set; one is made up for each run",
            f"set {path}, or PORTICO_GATEWAY_TOKEN, to keep one",
            "auth.missing",
        )


def _bind_issues(config: PorticoConfig) -> Iterator[Issue]:
    gateway = config.gateway
    if gateway.bind == "custom" and not gateway.custom_bind_host:
        yield _refuse(
            "gateway.customBindHost",
            "bind is custom, but no address is given",
            "set gateway.customBindHost to an IP address of this machine",
            "bind.host",
        )
    if gateway.http.open and not is_loopback_bind(config):
        yield Issue(
            Severity.WARNING,
            "gateway.http.open",
            "callers on this machine need no token, while others can reach the port",
            "leave it off when a proxy on this machine forwards requests from elsewhere",
            "http.open",
        )


def _proxy_issues(config: PorticoConfig) -> Iterator[Issue]:
    import ipaddress

    for index, entry in enumerate(config.gateway.trusted_proxies):
        try:
            ipaddress.ip_network(entry, strict=False)
        except ValueError:
            yield _refuse(
                f"gateway.trustedProxies[{index}]",
                f"{entry!r} is neither an address nor a network",
                "write it like 10.0.0.7 or 10.0.0.0/8",
                "proxy.address",
            )


def _tls_issues(config: PorticoConfig) -> Iterator[Issue]:
    tls = config.gateway.tls
    if not tls.enabled:
        return
    if not tls.cert_path and not tls.key_path:
        if not tls.auto_generate:
            yield _refuse(
                "gateway.tls",
                "TLS is on without a certificate",
                "set gateway.tls.certPath and gateway.tls.keyPath, or gateway.tls.autoGenerate",
                "tls.missing",
            )
    elif not tls.cert_path or not tls.key_path:
        lacking = "keyPath" if tls.cert_path else "certPath"
        yield _refuse(
            f"gateway.tls.{lacking}",
            "a certificate needs its key, and a key its certificate",
            f"set gateway.tls.{lacking}",
            "tls.pair",
        )
    else:
        yield from _pair_issues(tls.cert_path, tls.key_path)


def _pair_issues(cert_path: str, key_path: str) -> Iterator[Issue]:
    import ssl
    from pathlib import Path

    named = {"certPath": cert_path, "keyPath": key_path}
    if unreadable := [
        (name, error) for name, path in named.items() if (error := _unread(Path(path)))
    ]:
        for name, error in unreadable:
            yield _refuse(
                f"gateway.tls.{name}",
                f"cannot read {named[name]}: {error}",
                f"set gateway.tls.{name} to a PEM file this account can read",
                "tls.file",
            )
        return
    try:
        # An empty passphrase: OpenSSL would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert_path, key_path, password="")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        yield _refuse(
            "gateway.tls",
            f"{cert_path} and {key_path} are not a certificate and its key: {reason}",
            "give PEM files that belong together, the key without a passphrase",
            "tls.pair",
        )


def _unread(path: Path) -> str | None:
    try:
        path.open("rb").close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _permission_issues(path: Path, wanted: int, command: str) -> Iterator[Issue]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return
    if mode & ~wanted & 0o077:
        yield Issue(
            Severity.WARNING,
            "",
            f"others on this machine may reach it (mode {mode:04o})",
            f"{command} {path}",
            "file.permissions",
            file=str(path),
        )


def _exposed(config: PorticoConfig, path: str, what: str) -> Issue:
    return _refuse(
        path,
        f"{what}, but bind {config.gateway.bind} is for letting others reach the gateway",
        'set gateway.auth.token, or gateway.bind to "loopback"',
        "bind.unauthenticated",
    )


def _refuse(path: str, message: str, next_step: str, code: str) -> Issue:
    return Issue(Severity.ERROR, path, message, next_step, code)
