"""The caller, once it is known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from portico.protocol.scopes import SHARED_SECRET_HTTP_SCOPES, Role, expand

AuthMethod = Literal[
    "none",
    "token",
    "password",
    "trusted-proxy",
    "tailscale",
    "device-token",
    "bootstrap-token",
    "internal",
]


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody the gateway has let in, and what they may do.

    Attributes:
        granted: the scopes as granted, in the order they were asked for; these go on the wire.
        scopes: `granted` with everything they include; these are checked.
        subject: a stable name for rate limits, presence and logs (device id, else client id);
            never a secret.
        local: the connection came directly from this machine.
        identity: who it is, as a trusted proxy or Tailscale says.
    """

    role: Role
    granted: tuple[str, ...]
    scopes: frozenset[str]
    method: AuthMethod
    subject: str
    client_id: str = ""
    client_mode: str = ""
    caps: frozenset[str] = field(default_factory=frozenset)
    device_id: str | None = None
    ip: str | None = None
    local: bool = False
    identity: str | None = None

    @property
    def is_device(self) -> bool:
        """Whether it may do what its device may, and not what somebody with the secret may."""
        return self.method in {"device-token", "bootstrap-token", "trusted-proxy", "tailscale"}

    def capped(self, cap: frozenset[str]) -> Principal:
        """Return the same caller with no more than these scopes."""
        allowed = expand(cap)
        granted = tuple(scope for scope in self.granted if scope in allowed)
        return replace(self, granted=granted, scopes=expand(frozenset(granted)))

    @classmethod
    def http_operator(
        cls, method: AuthMethod, *, ip: str | None, local: bool, identity: str | None = None
    ) -> Principal:
        """An HTTP caller that proved the shared secret or its identity, or needed neither."""
        granted = tuple(sorted(SHARED_SECRET_HTTP_SCOPES))
        return cls(
            role=Role.OPERATOR,
            granted=granted,
            scopes=expand(frozenset(granted)),
            method=method,
            subject=identity or "http",
            client_id="http",
            client_mode="backend",
            ip=ip,
            local=local,
            identity=identity,
        )
