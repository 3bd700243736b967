"""What a client sends of itself and what it gets: settings, hello, events.

Source: OpenClaw gateway protocol, "Handshake" and "Events".
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from portico.client.identity import DeviceIdentity
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
    """Which of the protocol's known clients this is."""

    id: str = "cli"
    mode: str = "cli"
    version: str = "0"
    platform: str = "linux"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A shared secret, or nothing."""

    token: str | None = None
    password: str | None = None

    def __bool__(self) -> bool:
        return bool(self.token or self.password)

    def to_wire(self) -> dict[str, str]:
        """The `auth` member of the connect params."""
        wire = {"token": self.token, "password": self.password}
        return {name: value for name, value in wire.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """How to connect.

    Attributes:
        url: `ws://` or `wss://`.
        device: sign the handshake with it; a loopback client needs none.
        reconnect: come back after a lost connection and ask for what was missed.
        tls: for `wss://` with a certificate the system does not know.
        connect_timeout_s: for the socket and the handshake together.
        min_protocol: below the maximum only for probes.
        event_limit: events kept for a consumer that is behind; then the oldest go, with a `Gap`.
    """

    url: str
    credentials: Credentials = field(default=Credentials(), repr=False)
    name: ClientName = ClientName()
    scopes: tuple[str, ...] = OPERATOR_SCOPES
    caps: tuple[str, ...] = ()
    role: str = Role.OPERATOR
    device: DeviceIdentity | None = None
    reconnect: bool = False
    tls: ssl.SSLContext | None = None
    connect_timeout_s: float = 10.0
    min_protocol: int = PROTOCOL_VERSION
    event_limit: int = 10_000
    backoff_first_s: float = 1.0
    backoff_most_s: float = 30.0


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


class Granted(msgspec.Struct, frozen=True, rename="camel"):
    """As what the gateway let us in."""

    role: str = ""
    scopes: list[str] = []
    method: str = ""


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
