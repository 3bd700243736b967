"""The opening of a connection: what a client says in `connect`, which versions can talk.

Guarantees: `ConnectParams` is closed; a member that is not described here refuses the connection,
with the words clients know.

Source: OpenClaw gateway protocol, "Handshake" and "Version negotiation". `resume` is Portico's own
addition and optional: a client that knows it (cap `event-replay`) gets what it missed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from portico.protocol.errors import InvalidRequest
from portico.protocol.validation import Params

PROTOCOL_VERSION = 4
MIN_PROBE_PROTOCOL = 3
MIN_NODE_PROTOCOL = 3
EVENT_REPLAY_CAP = "event-replay"
TOOL_EVENTS_CAP = "tool-events"
SESSION_SCOPED_EVENTS_CAP = "session-scoped-events"

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Version = Annotated[int, msgspec.Meta(ge=1)]

ClientId = Literal[
    "webchat-ui",
    "openclaw-control-ui",
    "openclaw-browser-copilot",
    "openclaw-tui",
    "webchat",
    "cli",
    "gateway-client",
    "openclaw-macos",
    "openclaw-linux",
    "openclaw-ios",
    "openclaw-watchos",
    "openclaw-android",
    "node-host",
    "openclaw-worker",
    "test",
    "fingerprint",
    "openclaw-probe",
]
ClientMode = Literal["webchat", "cli", "ui", "backend", "node", "worker", "probe", "test"]

CONTROL_UI = "openclaw-control-ui"
BROWSER_CLIENTS = frozenset({"webchat-ui", "webchat", CONTROL_UI, "openclaw-browser-copilot"})


class Client(Params, frozen=True):
    """The program that connects."""

    id: ClientId
    version: NonEmpty
    platform: NonEmpty
    mode: ClientMode
    display_name: NonEmpty | None = None
    build_id: Annotated[str, msgspec.Meta(min_length=1, max_length=96)] | None = None
    device_family: NonEmpty | None = None
    model_identifier: NonEmpty | None = None
    time_zone: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    instance_id: NonEmpty | None = None

    @property
    def is_browser(self) -> bool:
        """Whether it runs in a web page, so that its Origin must be checked."""
        return self.id in BROWSER_CLIENTS or self.mode == "webchat"


class DeviceProof(Params, frozen=True):
    """A device's signature over this connection's challenge."""

    id: NonEmpty
    public_key: NonEmpty
    signature: NonEmpty
    signed_at: Count
    nonce: NonEmpty


class Credentials(Params, frozen=True):
    """The secrets a client offers."""

    token: str | None = None
    bootstrap_token: str | None = None
    device_token: str | None = None
    password: str | None = None
    approval_runtime_token: str | None = None
    agent_runtime_identity_token: str | None = None


class Resume(Params, frozen=True):
    """Where a returning client was: its cursor and what it followed."""

    cursor: NonEmpty
    sessions: tuple[NonEmpty, ...] = ()
    session_list: bool = False


class ConnectParams(Params, frozen=True):
    """Params of `connect`."""

    min_protocol: Version
    max_protocol: Version
    client: Client
    caps: tuple[NonEmpty, ...] = ()
    commands: tuple[NonEmpty, ...] = ()
    computer_use: Any = None
    worker_runs: Any = None
    permissions: dict[str, bool] | None = None
    path_env: str | None = None
    role: NonEmpty = "operator"
    scopes: tuple[NonEmpty, ...] = ()
    model_catalog: Any = None
    device: DeviceProof | None = None
    auth: Credentials = Credentials()
    locale: str | None = None
    user_agent: str | None = None
    resume: Resume | None = None


def check_protocol(params: ConnectParams) -> None:
    """Check that client and gateway speak a common version.

    Raises:
        InvalidRequest: they do not; the connection closes with 1002.
    """
    low, high = params.min_protocol, params.max_protocol
    if low <= PROTOCOL_VERSION <= high:
        return
    mode = params.client.mode
    if mode == "probe" and low <= PROTOCOL_VERSION and high >= MIN_PROBE_PROTOCOL:
        return
    if params.role == "node" and mode == "node" and low == high == MIN_NODE_PROTOCOL:
        return
    raise InvalidRequest(
        "protocol mismatch",
        details={
            "code": "PROTOCOL_MISMATCH",
            "clientMinProtocol": low,
            "clientMaxProtocol": high,
            "expectedProtocol": PROTOCOL_VERSION,
            "minimumProbeProtocol": MIN_PROBE_PROTOCOL,
        },
    )
