"""Which connections are told where the canvas is, and at what address.

Source: OpenClaw gateway protocol, "hello-ok payload" (`pluginSurfaceUrls`) and "Canvas, A2UI and
capability URLs".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from portico.auth.model import Principal
from portico.canvas.capabilities import Capabilities
from portico.ids import ConnId
from portico.protocol.scopes import Role, Scope

SURFACE = "canvas"
CAPABILITY_PATH = "/__openclaw__/cap/"


@dataclass(frozen=True, slots=True)
class SurfaceUrl:
    """Where a surface is, for one connection, and until when if it is not used."""

    url: str
    expires_at_ms: int


class Surfaces:
    """Hands out the addresses of the canvas.

    Args:
        is_enabled: whether there is a canvas at all.
    """

    def __init__(self, capabilities: Capabilities, *, is_enabled: bool = True) -> None:
        self._capabilities = capabilities
        self._is_enabled = is_enabled
        self._bases: dict[ConnId, str] = {}

    def opened(self, conn_id: ConnId, principal: Principal, base_url: str) -> Mapping[str, str]:
        """Return the addresses for a client that is let in, by surface.

        Args:
            base_url: how it calls this gateway: scheme, host and port.
        """
        if not (self._is_enabled and base_url and may_look(principal)):
            return {}
        self._bases[conn_id] = base_url
        return {SURFACE: self._url(conn_id, base_url).url}

    def refresh(self, conn_id: ConnId, surface: str) -> SurfaceUrl | None:
        """Return a new address in place of the one it had; `None`: it never had one."""
        base_url = self._bases.get(conn_id)
        return None if base_url is None or surface != SURFACE else self._url(conn_id, base_url)

    def beside(self, conn_id: ConnId) -> SurfaceUrl | None:
        """Return one more address for a connection that has one; `None`: it has none."""
        base_url = self._bases.get(conn_id)
        return None if base_url is None else self._url(conn_id, base_url, beside=True)

    def base_url(self, conn_id: ConnId) -> str | None:
        """Return how a connected client calls this gateway; `None`: it may not look."""
        return self._bases.get(conn_id)

    def closed(self, conn_id: ConnId) -> None:
        """Take back what a connection had."""
        if self._bases.pop(conn_id, None) is not None:
            self._capabilities.release(conn_id)

    def _url(self, conn_id: ConnId, base_url: str, *, beside: bool = False) -> SurfaceUrl:
        minted = self._capabilities.mint(conn_id, beside=beside)
        return SurfaceUrl(f"{base_url}{CAPABILITY_PATH}{minted.token}", minted.expires_at_ms)


def may_look(principal: Principal) -> bool:
    """Whether a client may be shown what agents drew: who reads, and nodes that have a canvas."""
    if principal.role == Role.NODE:
        return SURFACE in principal.caps
    return Scope.READ in principal.scopes
