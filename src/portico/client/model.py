"""What a client sends of itself and what it gets: settings, hello, events.

Source: OpenClaw gateway protocol, "Handshake" and "Events".
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from portico.client.errors import ClientError
from portico.client.identity import DeviceIdentity
from portico.client.tokens import DeviceTokens
from portico.protocol.connect import PROTOCOL_VERSION
from portico.protocol.errors import ErrorShape
from portico.protocol.scopes import Role, Scope

OPERATOR_SCOPES: Final[tuple[str, ...]] = (
    Scope.ADMIN,
    Scope.READ,
    Scope.WRITE,
    Scope.APPROVALS,
    Scope.QUESTIONS,
    Scope.PAIRING,
    Scope.TALK_SECRETS,
)
"""What the command line asks for."""


@dataclass(frozen=True, slots=True)
class ClientName:
    """Which of the protocol's known clients this is, and what it runs on."""

    id: str = "cli"
    mode: str = "cli"
    version: str = "0"
    platform: str = "linux"
    display_name: str | None = None
    device_family: str | None = None
    instance_id: str | None = None

    def to_wire(self) -> dict[str, str]:
        """The `client` member of the connect params."""
        wire = {
            "id": self.id,
            "mode": self.mode,
            "version": self.version,
            "platform": self.platform,
            "displayName": self.display_name,
            "deviceFamily": self.device_family,
            "instanceId": self.instance_id,
        }
        return {name: value for name, value in wire.items() if value}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What lets a client in: a shared secret, a token of its own, one of a setup code, or nothing.

    Attributes:
        device_token: what a gateway gave this device; usually found in `ClientSettings.tokens`.
        bootstrap_token: what a setup code holds; good for one connection.
    """

    token: str | None = None
    password: str | None = None
    device_token: str | None = None
    bootstrap_token: str | None = None

    def __bool__(self) -> bool:
        return any((self.token, self.password, self.device_token, self.bootstrap_token))

    @property
    def signed_token(self) -> str:
        """The token a device signs with; a password is never signed."""
        return self.token or self.device_token or self.bootstrap_token or ""

    def to_wire(self) -> dict[str, str]:
        """The `auth` member of the connect params."""
        wire = {
            "token": self.token,
            "password": self.password,
            "deviceToken": self.device_token,
            "bootstrapToken": self.bootstrap_token,
        }
        return {name: value for name, value in wire.items() if value}


@dataclass(frozen=True, slots=True)
class Offer:
    """What a node says it can do; an operator leaves it empty.

    Attributes:
        caps: groups of commands, such as `system`.
        commands: names of commands, such as `system.run`.
        permissions: what the system lets it do.
        path_env: where its programs are.
    """

    caps: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    permissions: Mapping[str, bool] = field(default_factory=dict)
    path_env: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """The members of the connect params that only nodes send."""
        wire = {
            "commands": list(self.commands),
            "permissions": dict(self.permissions),
            "pathEnv": self.path_env,
        }
        return {name: value for name, value in wire.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """How to connect.

    Attributes:
        url: `ws://` or `wss://`.
        name: who connects; the gateway knows a fixed list.
        scopes: what an operator asks for; nodes have none.
        caps: what this client understands.
        role: `operator` or `node`.
        offer: what a node can do.
        device: sign the handshake with it; needed by nodes, and by operators from elsewhere.
        tokens: where tokens of the device are kept between runs.
        reconnect: come back after a lost connection and ask for what was missed.
        keeps_trying: also when the first connection fails.
        waits_for_approval: keep asking while the device waits for its approval.
        gives_up_after_s: stop coming back after this long without a gateway; `None`: never.
        tls: for `wss://` with a certificate the system does not know.
        connect_timeout_s: for the socket and the handshake together.
        min_protocol: below the maximum only for probes and nodes.
        event_limit: events kept for a consumer that is behind; then the oldest go, with a `Gap`.
        backoff_first_s, backoff_most_s: the pause before a new attempt doubles from one to the
            other, less up to a half by chance.
        on_connected: told of each accepted handshake.
        on_waiting: told why there is no connection, and in how many seconds the next attempt is.
    """

    url: str
    credentials: Credentials = field(default=Credentials(), repr=False)
    name: ClientName = ClientName()
    scopes: tuple[str, ...] = OPERATOR_SCOPES
    caps: tuple[str, ...] = ()
    role: str = Role.OPERATOR
    offer: Offer = Offer()
    device: DeviceIdentity | None = None
    tokens: DeviceTokens | None = None
    reconnect: bool = False
    keeps_trying: bool = False
    waits_for_approval: bool = False
    gives_up_after_s: float | None = None
    tls: ssl.SSLContext | None = None
    connect_timeout_s: float = 10.0
    min_protocol: int = PROTOCOL_VERSION
    event_limit: int = 10_000
    backoff_first_s: float = 1.0
    backoff_most_s: float = 30.0
    on_connected: Callable[[Hello], None] | None = None
    on_waiting: Callable[[ClientError, float], None] | None = None


class ServerIdentity(msgspec.Struct, frozen=True, rename="camel"):
    """Who answered."""

    version: str = ""
    conn_id: str = ""
    boot_id: str = ""


class Features(msgspec.Struct, frozen=True, rename="camel"):
    """What the gateway can do."""

    methods: list[str] = []
    events: list[str] = []
    capabilities: list[str] = []


class IssuedToken(msgspec.Struct, frozen=True, rename="camel"):
    """A token a gateway gave this device."""

    device_token: str = ""
    role: str = ""
    scopes: list[str] = []
    issued_at_ms: int | None = None


class Granted(msgspec.Struct, frozen=True, rename="camel"):
    """As what the gateway let us in, and the tokens for next time."""

    role: str = ""
    scopes: list[str] = []
    method: str = ""
    device_token: str = ""
    issued_at_ms: int | None = None
    device_tokens: list[IssuedToken] = []

    @property
    def issued(self) -> list[IssuedToken]:
        """Every token that came with this handshake."""
        own = IssuedToken(self.device_token, self.role, self.scopes, self.issued_at_ms)
        return [one for one in (own, *self.device_tokens) if one.device_token and one.role]


class Policy(msgspec.Struct, frozen=True, rename="camel"):
    """The gateway's limits."""

    max_payload: int = 26_214_400
    tick_interval_ms: int = 30_000


class Resumed(msgspec.Struct, frozen=True, rename="camel"):
    """Where the stream of events is: `fresh`, `resumed` (what was missed follows) or `gap`."""

    cursor: str = ""
    status: str = "gap"
    missed: int = 0


class Hello(msgspec.Struct, frozen=True, rename="camel"):
    """The accepted handshake, as far as clients of ours need it; unknown members are ignored."""

    protocol: int
    server: ServerIdentity = ServerIdentity()
    features: Features = Features()
    auth: Granted = Granted()
    policy: Policy = Policy()
    snapshot: dict[str, Any] = {}
    resume: Resumed | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the gateway."""

    name: str
    payload: Any
    seq: int | None = None
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Events are missing from here on back: what was shown must be fetched again."""

    reason: str


class Incoming(msgspec.Struct, frozen=True, rename="camel"):
    """Any frame a gateway sends; `payload` stays raw until somebody wants it."""

    type: str
    id: str = ""
    ok: bool = False
    payload: msgspec.Raw = msgspec.Raw(b"null")
    error: ErrorShape | None = None
    event: str = ""
    seq: int | None = None
    cursor: str | None = None
