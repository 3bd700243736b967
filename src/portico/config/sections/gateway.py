"""`gateway`: the port, who may come in, and every limit of the doors.

Source: OpenClaw configuration reference, section `gateway`; limits and timers of its protocol 4.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from portico.config.sections.base import Section, expand_home, group, setting

MIB = 1 << 20

ScopeName = Annotated[
    str, Field(pattern=r"^operator\.[a-z]+(\.[a-z]+)?$", description="Such as operator.read.")
]


class RateLimit(Section):
    """Brute-force protection of the shared secret."""

    max_attempts: int = setting(
        10, "Failed attempts per client address before it is locked out.", reload="hot", ge=1
    )
    window_ms: int = setting(
        60_000, "Window in which failed attempts are counted.", reload="hot", ge=1
    )
    lockout_ms: int = setting(300_000, "How long a lockout lasts.", reload="hot", ge=0)
    exempt_loopback: bool = setting(
        True, "Never lock out this machine itself (its failures are slowed down).", reload="hot"
    )


class DeviceAutoApprove(Section):
    """Devices of users that a trusted proxy vouches for."""

    enabled: bool = setting(False, "Approve their new devices without asking.", reload="hot")
    scopes: tuple[ScopeName, ...] = setting(
        ("operator.read", "operator.write", "operator.approvals", "operator.questions"),
        "What such a device may do at most.",
        reload="hot",
    )


class TrustedProxy(Section):
    """Mode trusted-proxy: a proxy that knows who its users are."""

    not_used: ClassVar[frozenset[str]] = frozenset({"cloudflareAccessOidc"})

    user_header: str = setting(
        "", "Header in which the proxy names the user, such as x-forwarded-user.", reload="hot"
    )
    required_headers: tuple[str, ...] = setting(
        (), "Headers without which a request did not come through the proxy.", reload="hot"
    )
    allow_users: tuple[str, ...] = setting(
        (), "Users that may come in; empty: everyone the proxy lets through.", reload="hot"
    )
    allow_loopback: bool = setting(
        False,
        "Let a proxy on this machine vouch for users. Every program here can then claim to be one.",
        reload="hot",
    )
    device_auto_approve: DeviceAutoApprove = group(DeviceAutoApprove, "Devices of its users.")


class Auth(Section):
    """How a client proves itself."""

    mode: Literal["none", "token", "password", "trusted-proxy", "device"] | None = setting(
        None,
        "none, token, password, trusted-proxy (a proxy says who it is) or device (paired devices "
        "only). Unset: password when only a password is set, else token.",
    )
    trusted_proxy: TrustedProxy = group(TrustedProxy, "Mode trusted-proxy.")
    allow_tailscale: bool | None = setting(
        None,
        "Let users of the tailnet in by name, through Tailscale Serve. Unset: with "
        "gateway.tailscale.mode serve, except in mode password and trusted-proxy.",
        reload="hot",
    )
    identity_scopes: dict[str, tuple[ScopeName, ...]] = setting(
        doc="More scopes for users a proxy or Tailscale names, while they are connected.",
        reload="hot",
        default_factory=dict,
    )
    token: str | None = setting(None, "Shared secret for mode token.", secret=True)
    password: str | None = setting(None, "Shared secret for mode password.", secret=True)
    rate_limit: RateLimit = group(RateLimit, "Brute-force protection.")


class ControlUi(Section):
    """The web page."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        {
            "dangerouslyAllowHostHeaderOriginFallback",
            "dangerouslyDisableDeviceAuth",
            "allowInsecureAuth",
            "environment",
            "communityInvite",
            "github",
            "sessionObserver",
            "embedSandbox",
            "allowExternalEmbedUrls",
            "automaticallyFetchFavicons",
            "experimental",
        }
    )

    enabled: bool = setting(True, "Serve the web page.", reload="hot")
    base_path: str = setting("", "Path prefix of the page, such as /portico.")
    allowed_origins: tuple[str, ...] = setting(
        (), "Browser origins that may connect besides the gateway's own address.", reload="hot"
    )
    root: str | None = setting(None, "Directory with other page files than the built-in ones.")

    _root_at_home = field_validator("root")(expand_home)


class Limits(Section):
    """Sizes, timers and bounds. The defaults are the protocol's; change them with a reason."""

    max_payload_bytes: int = setting(25 * MIB, "Largest frame after connect.", ge=1024)
    max_preauth_payload_bytes: int = setting(65_536, "Largest frame before connect.", ge=1024)
    max_buffered_bytes: int = setting(
        50 * MIB, "Unsent bytes at which a client counts as too slow.", ge=1024
    )
    max_pending_handshake_frames: int = setting(
        15, "Frames a client may send while its connect is being checked.", ge=0
    )
    handshake_timeout_ms: int = setting(
        15_000, "Time a client has to ask for something, and to send connect.", ge=1, reload="hot"
    )
    max_preauth_connections_per_ip: int = setting(
        32,
        "Connections of one address (of IPv6: one /64) that have not connected yet.",
        ge=1,
        reload="hot",
    )
    max_connections: int = setting(20_000, "Open WebSocket connections in all.", ge=1, reload="hot")
    tick_interval_ms: int = setting(30_000, "Period of the tick event.", ge=1)
    health_interval_ms: int = setting(60_000, "Period of the health event.", ge=1)
    ping_interval_ms: int = setting(25_000, "Period of WebSocket pings.", ge=1, reload="hot")
    pong_timeout_ms: int = setting(
        25_000, "Time to answer a ping before the end.", ge=1, reload="hot"
    )
    close_grace_ms: int = setting(
        1_000, "Time to finish a close before it is cut.", ge=0, reload="hot"
    )
    live_text_ms: int = setting(75, "Assistant deltas within this time leave as one.", ge=0)
    chat_history_max_bytes: int = setting(6 * MIB, "Largest chat.history answer.", ge=1024)
    replay_events: int = setting(
        2_000, "Events kept for clients that reconnect with a cursor (0: none).", ge=0
    )
    replay_bytes: int = setting(8 * MIB, "Bytes those events may hold.", ge=0)
    agent_file_max_bytes: int = setting(
        2 * MIB, "Largest document of an agent: AGENTS.md and its kin.", ge=1024
    )
    workspace_file_max_bytes: int = setting(
        4 * MIB, "Largest file that is shown of an agent's workspace.", ge=1024
    )
    wizards: int = setting(8, "Set-up wizards that may be under way at once.", ge=1)
    wizard_idle_ms: int = setting(
        1_800_000, "How long a set-up wizard waits for an answer before it is forgotten.", ge=1
    )
    dedupe_ttl_ms: int = setting(
        86_400_000, "How long a call's idempotency key is remembered, across restarts.", ge=1
    )


class SecurityHeaders(Section):
    """Headers added to every HTTP answer."""

    strict_transport_security: str | None = setting(
        None, "Value of Strict-Transport-Security; unset: not sent.", reload="hot"
    )

    @field_validator("strict_transport_security", mode="before")
    @classmethod
    def _false_means_unset(cls, value: Any) -> Any:
        return None if value is False else value


class ChatCompletionsEndpoint(Section):
    """`/v1/chat/completions`."""

    not_used: ClassVar[frozenset[str]] = frozenset({"images", "maxTotalImageBytes"})

    enabled: bool = setting(False, "Answer at /v1/chat/completions.", reload="hot")
    max_body_bytes: int = setting(20 * MIB, "Largest request body.", ge=1024, reload="hot")
    max_image_parts: int = setting(8, "Images one message may have.", ge=0, le=64, reload="hot")


class ResponsesEndpoint(Section):
    """`/v1/responses`."""

    not_used: ClassVar[frozenset[str]] = frozenset({"images", "files"})

    enabled: bool = setting(False, "Answer at /v1/responses.", reload="hot")
    max_body_bytes: int = setting(20 * MIB, "Largest request body.", ge=1024, reload="hot")
    max_url_parts: int = setting(
        8, "Images and files by URL one message may have.", ge=0, le=64, reload="hot"
    )


class McpEndpoint(Section):
    """`/mcp`: the agents' tools for MCP clients."""

    enabled: bool = setting(
        False, "Serve the agents' tools over MCP (streamable HTTP) at /mcp.", reload="hot"
    )
    max_body_bytes: int = setting(4 * MIB, "Largest request body.", ge=1024, reload="hot")


class HttpEndpoints(Section):
    """What is served besides; /v1/models and /v1/embeddings are there with the OpenAI API."""

    not_used: ClassVar[frozenset[str]] = frozenset({"tools"})

    chat_completions: ChatCompletionsEndpoint = group(
        ChatCompletionsEndpoint, "Chat completions, off unless enabled."
    )
    responses: ResponsesEndpoint = group(ResponsesEndpoint, "Responses, off unless enabled.")
    mcp: McpEndpoint = group(McpEndpoint, "Model Context Protocol, off unless enabled.")


class Http(Section):
    """The HTTP side of the port."""

    security_headers: SecurityHeaders = group(SecurityHeaders, "Security headers.")
    open: bool = setting(
        False,
        "Let callers on this machine use the gateway message API without a token.",
        reload="hot",
    )
    max_body_bytes: int = setting(12 * MIB, "Largest request body.", ge=1024, reload="hot")
    endpoints: HttpEndpoints = group(HttpEndpoints, "The OpenAI-compatible API.")


class GatewayTools(Section):
    """Tools called over HTTP, by `POST /tools/invoke`."""

    allow: tuple[str, ...] = setting(
        (), "Tools that may be called over HTTP although they usually may not.", reload="hot"
    )
    deny: tuple[str, ...] = setting((), "Tools that may not be called over HTTP.", reload="hot")


class GatewayMessages(Section):
    """The gateway message API, `/v1/gateway/…`."""

    allow_users: tuple[str, ...] | None = setting(
        None,
        "user_ids that may write; unset: everyone who is authenticated; []: nobody.",
        reload="hot",
    )
    require_mention: bool = setting(
        False, "In threads, ignore messages that match no mention pattern.", reload="hot"
    )
    mention_patterns: tuple[str, ...] = setting((), "Texts that count as a mention.", reload="hot")
    status_retention_ms: int = setting(
        3_600_000, "How long the status of a finished request can be asked for.", ge=0, reload="hot"
    )
    queue_timeout_ms: int = setting(
        600_000,
        "How long a request may wait for its session before it is given up.",
        ge=1,
        reload="hot",
    )
    sse_heartbeat_ms: int = setting(
        15_000, "Period of comments on a silent stream.", ge=100, reload="hot"
    )


class Tls(Section):
    """TLS on the port."""

    not_used: ClassVar[frozenset[str]] = frozenset({"caPath"})

    enabled: bool = setting(False, "Serve https and wss.")
    auto_generate: bool = setting(
        True, "Without certPath and keyPath: make a certificate, which clients pin by fingerprint."
    )
    cert_path: str | None = setting(None, "Certificate file (PEM).")
    key_path: str | None = setting(None, "Private key file (PEM, without a passphrase).")
    watch_ms: int = setting(
        5_000, "How often the files are looked at; a new certificate is shown at once.", ge=100
    )

    _files_at_home = field_validator("cert_path", "key_path")(expand_home)


class Tailscale(Section):
    """Tailscale Serve (the tailnet) and Funnel (the internet), driven by the gateway."""

    not_used: ClassVar[frozenset[str]] = frozenset({"preserveFunnel"})

    mode: Literal["off", "serve", "funnel"] = setting(
        "off", "serve: for the machines of the tailnet; funnel: for everybody, by password."
    )
    reset_on_exit: bool = setting(True, "Take the route away when the gateway stops.")
    https_port: Literal[443, 8443, 10000] = setting(443, "Port others connect to.")
    socket: str = setting(
        "/var/run/tailscale/tailscaled.sock", "tailscaled's local API, asked who somebody is."
    )
    program: str = setting("tailscale", "The tailscale program.")
    timeout_ms: int = setting(3_000, "Time it has to say who somebody is.", ge=1)
    command_timeout_ms: int = setting(30_000, "Time one of its commands may take.", ge=1)
    retry_ms: int = setting(
        15_000, "How often the route is looked at, and tried again when it failed.", ge=100
    )


class Shutdown(Section):
    """A graceful stop."""

    drain_ms: int = setting(
        15_000, "Time running turns have to finish after SIGTERM.", reload="none", ge=0
    )


class Restart(Section):
    """A restart that loses nothing: a new process takes over from the old one."""

    ready_ms: int = setting(
        60_000,
        "Time a new process has to become ready; then it is killed and the old one goes on.",
        ge=1_000,
        reload="hot",
    )


class NodePairing(Section):
    """Pairing of device nodes."""

    not_used: ClassVar[frozenset[str]] = frozenset({"sshVerify"})

    auto_approve_local: bool = setting(
        True, "Approve devices that connect from this machine without asking.", reload="hot"
    )
    auto_approve_tailnet: bool = setting(
        False,
        "Approve devices of this machine without asking also when they come by its own Tailscale "
        "address.",
        reload="hot",
    )
    auto_approve_cidrs: tuple[str, ...] = setting(
        (),
        "Networks whose new nodes are approved without asking, such as 10.0.0.0/24.",
        reload="hot",
    )
    request_ttl_ms: int = setting(
        300_000, "How long a device's request waits for approval.", ge=1_000, reload="hot"
    )
    max_pending: int = setting(200, "Most requests that wait at once.", ge=1, reload="hot")
    max_pending_per_address: int = setting(
        20, "Most requests that wait at once from one address.", ge=1, reload="hot"
    )
    setup_code_ttl_ms: int = setting(
        600_000, "How long a setup code is good.", ge=1_000, reload="hot"
    )
    max_setup_codes: int = setting(
        50, "Most setup codes that wait for a device.", ge=1, reload="hot"
    )

    @field_validator("auto_approve_cidrs")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        import ipaddress

        for entry in value:
            ipaddress.ip_network(entry, strict=False)
        return value


class NodeCommands(Section):
    """Which commands of nodes may be used, beside the usual ones of their platform."""

    allow: tuple[str, ...] = setting(
        (),
        "Commands that may be used besides; dangerous ones only when they are named here.",
        reload="hot",
    )
    deny: tuple[str, ...] = setting(
        (), "Commands that may not be used; wins over allow.", reload="hot"
    )


class NodeTools(Section):
    """Tools that nodes publish."""

    enabled: bool = setting(
        False, "Let agents use the tools that approved nodes publish.", reload="hot"
    )


class NodeInvokes(Section):
    """Commands sent to nodes."""

    timeout_ms: int = setting(
        30_000,
        "Time a command has when its caller does not say.",
        reload="hot",
        ge=100,
        le=3_600_000,
    )
    max_timeout_ms: int = setting(
        3_600_000, "Longest time a caller may give a command.", reload="hot", ge=100, le=86_400_000
    )
    max_in_flight: int = setting(
        32, "Commands one node may have under way.", reload="hot", ge=1, le=10_000
    )


class Nodes(Section):
    """Device nodes."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        {"browser", "allowSkills", "allowCommands", "denyCommands"}
    )

    pairing: NodePairing = group(NodePairing, "Pairing.")
    commands: NodeCommands = group(NodeCommands, "Commands that may be used.")
    plugin_tools: NodeTools = group(NodeTools, "Tools of nodes.")
    invoke: NodeInvokes = group(NodeInvokes, "Limits of commands.")


class PushSettings(Section):
    """Notifications in browsers."""

    not_used: ClassVar[frozenset[str]] = frozenset({"apns"})

    contact: str = setting(
        "https://localhost",
        "Whom a push service may write to about this gateway: mailto:… or https://…. Some "
        "services insist on a real one.",
        pattern=r"^(mailto:.+@.+|https://.+)$",
    )
    ttl_seconds: int = setting(
        86_400, "How long a push service keeps what a browser cannot take.", ge=0, le=2_419_200
    )
    max_subscriptions: int = setting(50, "Browsers that may be notified.", ge=0, le=1_000)


class RemoteGateway(Section):
    """The gateway that commands talk to when `gateway.mode` is remote."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        edgeAuth remotePort sshHostKeyPolicy sshIdentity sshTarget transport
        """.split()
    )

    url: str | None = setting(None, "Address, such as wss://gateway.example.com.", reload="none")
    token: str | None = setting(None, "Its token.", reload="none", secret=True)
    password: str | None = setting(None, "Its password.", reload="none", secret=True)
    tls_fingerprint: str | None = setting(
        None, "SHA-256 of its certificate: this one is believed, and no other.", reload="none"
    )
    tls_ca_path: str | None = setting(
        None,
        "PEM file of authorities: their certificates are believed, and no others.",
        reload="none",
    )

    _ca_at_home = field_validator("tls_ca_path")(expand_home)


class Reload(Section):
    """What happens when the config file changes while the gateway runs."""

    mode: Literal["off", "restart", "hot", "hybrid"] = setting(
        "hybrid",
        "off: nothing until the next start; restart: the gateway restarts; hot: what can follow "
        "does, the rest waits; hybrid: what can follow does, and for the rest it restarts.",
        reload="hot",
    )
    debounce_ms: int = setting(
        300, "How long the file must stay as it is before it is read.", reload="hot", ge=0
    )
    trial_ms: int = setting(
        10_000,
        "How long the gateway may take to be well with a change before it is taken back.",
        reload="hot",
        ge=0,
        le=120_000,
    )
    restart_cooldown_ms: int = setting(
        30_000, "Shortest time between two restarts for a change.", reload="hot", ge=0
    )


class Gateway(Section):
    """The gateway itself."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        {
            "roles",
            "cliAgents",
            "terminal",
            "portals",
            "channelHealthCheckMinutes",
        }
    )

    mode: Literal["local", "remote"] = setting(
        "local", "local: the gateway runs here; remote: commands use gateway.remote, and none runs."
    )
    port: int = setting(18_789, "TCP port (0: any free one).", ge=0, le=65_535)
    bind: Literal["loopback", "lan", "tailnet", "auto", "custom"] = setting(
        "loopback",
        "Where to listen: loopback, lan (every interface), tailnet (Tailscale), custom (customBind"
        "Host), auto (everywhere in a container, else loopback). Anything but loopback needs "
        "authentication; all but lan listen on 127.0.0.1, too.",
    )
    custom_bind_host: str | None = setting(None, "IP address of this machine for bind custom.")
    public_origin: str | None = setting(
        None,
        "What others reach the gateway by, such as https://gateway.example.com: it stands in setup "
        "codes and links, and its pages may connect.",
        reload="hot",
        pattern=r"^https://[A-Za-z0-9.\[\]:-]+$",
    )
    remote: RemoteGateway = group(RemoteGateway, "The gateway commands use in mode remote.")
    auth: Auth = group(Auth, "Authentication.")
    control_ui: ControlUi = group(ControlUi, "The web page.")
    trusted_proxies: tuple[str, ...] = setting(
        (), "Addresses or networks of proxies whose forwarding headers are believed.", reload="hot"
    )
    allow_real_ip_fallback: bool = setting(
        False, "Believe X-Real-IP of a trusted proxy that sends no X-Forwarded-For.", reload="hot"
    )
    tailscale: Tailscale = group(Tailscale, "Tailscale Serve and Funnel.")
    limits: Limits = group(Limits, "Sizes, timers and bounds.")
    http: Http = group(Http, "The HTTP side.")
    messages: GatewayMessages = group(GatewayMessages, "The gateway message API.")
    tools: GatewayTools = group(GatewayTools, "Tools over HTTP.")
    tls: Tls = group(Tls, "TLS.")
    reload: Reload = group(Reload, "Following the config file.")
    shutdown: Shutdown = group(Shutdown, "Graceful stop.")
    restart: Restart = group(Restart, "Restarting without a gap.")
    nodes: Nodes = group(Nodes, "Device nodes.")
    push: PushSettings = group(PushSettings, "Notifications in browsers.")

    @field_validator("custom_bind_host")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None:
            import ipaddress

            ipaddress.ip_address(value)
        return value
