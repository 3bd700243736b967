"""`hello-ok`: what a client learns about the gateway when it is let in.

Guarantees: it names only methods, events and capabilities that are implemented; paths and the auth
mode are shown to administrators only; the additions for replay are shown only to clients that
asked for them.

Source: OpenClaw gateway protocol, "hello-ok payload" and "Snapshot".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from portico.auth.model import Principal
from portico.auth.service import Admitted
from portico.clock import Clock
from portico.events.hub import Replay
from portico.events.presence import Presence, StateVersion
from portico.ids import ConnId
from portico.protocol.connect import PROTOCOL_VERSION
from portico.protocol.events import ADVERTISED_EVENTS
from portico.protocol.frames import encode_value
from portico.protocol.scopes import Scope
from portico.rpc.method import Registry

# What clients may rely on beyond the presence of a method: that `models.list` tells the models the
# gateway really has, each with whether it is available.
CAPABILITIES = ["published-model-catalog"]


class Snapshot(Protocol):
    """What hello shows of other rooms."""

    def health(self) -> Any:
        """Return the last health summary, `{}` before the first."""
        ...

    def session_defaults(self) -> Any:
        """Return `{defaultAgentId, mainKey, mainSessionKey, scope}`."""
        ...

    def applied_config_hash(self) -> str | None:
        """Return the hash of the configuration in force."""
        ...


class SurfaceUrls(Protocol):
    """Who hands out the addresses of pages that are for one connection only."""

    def opened(self, conn_id: ConnId, principal: Principal, base_url: str) -> Mapping[str, str]:
        """Return the addresses for a client that is let in, by surface."""
        ...

    def closed(self, conn_id: ConnId) -> None:
        """Take them back."""
        ...


@dataclass(frozen=True, slots=True)
class HelloSettings:
    """What hello says of the gateway itself."""

    version: str
    boot_id: str
    max_payload: int
    max_buffered: int
    tick_interval_ms: int
    max_attachment_bytes: int
    max_image_bytes: int
    config_path: str | None = None
    state_dir: str | None = None
    auth_mode: str | None = None


class HelloBuilder:
    """Builds hello for each client that is let in."""

    def __init__(
        self,
        registry: Registry,
        settings: HelloSettings,
        *,
        presence: Presence,
        state_version: StateVersion,
        snapshot: Snapshot,
        clock: Clock,
        surfaces: SurfaceUrls | None = None,
    ) -> None:
        self._registry = registry
        self._presence = presence
        self._version = state_version
        self._snapshot = snapshot
        self._clock = clock
        self._surfaces = surfaces
        self._settings = settings
        self._started_s = clock.monotonic_s()
        self._features: msgspec.Raw | None = None

    def configure(self, settings: HelloSettings) -> None:
        """Say something else from now on."""
        self._settings = settings

    def build(
        self, conn_id: ConnId, admitted: Admitted, replay: Replay | None, *, base_url: str = ""
    ) -> dict[str, Any]:
        """Build the payload for one client.

        Args:
            replay: what it missed, when it understands replay.
            base_url: how it calls this gateway: scheme, host and port.
        """
        settings = self._settings
        hello: dict[str, Any] = {
            "type": "hello-ok",
            "protocol": PROTOCOL_VERSION,
            "server": {
                "version": settings.version,
                "bootId": settings.boot_id,
                # A page of another build must not take ours for its own and reload.
                "controlUiBuildSource": "configured",
                "connId": conn_id,
            },
            "features": self._encoded_features(),
            "snapshot": self._build_snapshot(admitted.principal),
            "auth": _auth(admitted),
            "policy": {
                "maxPayload": settings.max_payload,
                "maxBufferedBytes": settings.max_buffered,
                "tickIntervalMs": settings.tick_interval_ms,
                "attachments": {
                    "maxBytes": settings.max_attachment_bytes,
                    "maxImageBytes": settings.max_image_bytes,
                },
            },
        }
        if replay is not None:
            hello["resume"] = {
                "cursor": replay.cursor,
                "status": replay.status,
                "missed": replay.missed,
            }
        if self._surfaces is not None:
            urls = self._surfaces.opened(conn_id, admitted.principal, base_url)
            hello |= {"pluginSurfaceUrls": urls} if urls else {}
        return hello

    def closed(self, conn_id: ConnId) -> None:
        """Take back what a client was told that is for its connection only."""
        if self._surfaces is not None:
            self._surfaces.closed(conn_id)

    def _encoded_features(self) -> msgspec.Raw:
        if self._features is None:
            features = {
                "methods": self._registry.advertised(),
                "events": ADVERTISED_EVENTS,
                "capabilities": CAPABILITIES,
            }
            self._features = msgspec.Raw(encode_value(features))
        return self._features

    def _build_snapshot(self, principal: Principal) -> dict[str, Any]:
        uptime_s = self._clock.monotonic_s() - self._started_s
        snapshot: dict[str, Any] = {
            "suspension": {"phase": "accepting"},
            "presence": self._presence.list(),
            "health": self._snapshot.health(),
            "stateVersion": {"presence": self._version.presence, "health": self._version.health},
            "uptimeMs": int(uptime_s * 1000),
            "appliedConfigHash": self._snapshot.applied_config_hash(),
            "sessionDefaults": self._snapshot.session_defaults(),
        }
        if Scope.ADMIN in principal.scopes:
            shown = {
                "configPath": self._settings.config_path,
                "stateDir": self._settings.state_dir,
                "authMode": self._settings.auth_mode,
            }
            snapshot |= {name: value for name, value in shown.items() if value is not None}
        return snapshot


def _auth(admitted: Admitted) -> dict[str, Any]:
    principal, issued = admitted.principal, admitted.device_token
    auth: dict[str, Any] = {
        "method": principal.method,
        "role": principal.role,
        "scopes": list(principal.granted),
    }
    if issued is not None:
        auth |= {"deviceToken": issued.token, "issuedAtMs": issued.issued_at_ms}
    if admitted.more_tokens:
        auth["deviceTokens"] = [
            {
                "deviceToken": token.token,
                "role": token.role,
                "scopes": list(token.scopes),
                "issuedAtMs": token.issued_at_ms,
            }
            for token in admitted.more_tokens
        ]
    return auth
