"""Who an HTTP caller is, and whether it may use an endpoint.

Guarantees: no endpoint but the public ones answers a caller without a credential, except to one on
this machine itself where that was explicitly opened; a page of another site in a browser on this
machine is not such a caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from typing import Protocol

from starlette.types import Scope as AsgiScope

from portico.auth.forwarded import header_map
from portico.auth.model import Principal
from portico.auth.peer import Peer, PeerRules, origin_problem, peer_of
from portico.protocol.errors import Forbidden, GatewayError
from portico.protocol.scopes import Scope


class Access(Enum):
    """Who gets past the door of an endpoint."""

    PUBLIC = "public"  # everyone
    CREDENTIAL = "credential"  # who proves the gateway's secret
    THIS_MACHINE = "this machine"  # also everyone on this machine
    OPENABLE = "openable"  # also everyone on this machine, when `gateway.http.open` is set


class HttpAuthenticator(Protocol):
    """Turns an Authorization header into a principal."""

    @property
    def peer_rules(self) -> PeerRules:
        """Whose word about where somebody comes from counts."""
        ...

    def check_peer(self, peer: Peer) -> None:
        """Refuse somebody because of where it comes from, or how it calls us.

        Raises:
            Forbidden: a proxy nobody knows is between, or a name that is not ours was used.
        """
        ...

    async def http(self, authorization: str | None, peer: Peer) -> Principal:
        """Return the caller.

        Raises:
            Unauthorized: no or a wrong secret.
            TooManyAttempts: the address has to wait.
        """
        ...


class Gate:
    """The door of the HTTP side."""

    def __init__(
        self,
        *,
        authenticator: HttpAuthenticator,
        allowed_origins: Sequence[str] = (),
        open_to_this_machine: bool = False,
    ) -> None:
        self._authenticator = authenticator
        self._allowed_origins = allowed_origins
        self._open = open_to_this_machine

    def configure(
        self,
        *,
        allowed_origins: Sequence[str],
        open_to_this_machine: bool,
    ) -> None:
        """Let callers in by other rules from now on."""
        self._allowed_origins = allowed_origins
        self._open = open_to_this_machine

    def peer(self, scope: AsgiScope) -> Peer:
        """Describe the other end of a request."""
        headers = header_map(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        )
        client, server = scope.get("client"), scope.get("server")
        return peer_of(
            client[0] if client else None,
            headers,
            is_secure=scope.get("scheme") == "https",
            rules=self._authenticator.peer_rules,
            local_port=(server[1] if server else None) or 0,
        )

    async def admit(
        self, peer: Peer, authorization: str | None, access: Access, needs: Scope | None
    ) -> Principal | None:
        """Let a caller use an endpoint; `None` for a public one.

        Raises:
            GatewayError: it may not.
        """
        if access is Access.PUBLIC:
            return None
        self._authenticator.check_peer(peer)
        principal = await self._identify(peer, authorization, access)
        if needs is not None and needs not in principal.scopes:
            raise Forbidden.missing_scope(needs)
        return principal

    async def is_insider(self, peer: Peer, authorization: str | None) -> bool:
        """Whether a caller of a public endpoint may see more: it is here, or proves the secret."""
        if peer.direct_local and not peer.origin:
            return True
        if authorization is None:
            return False
        try:
            principal = await self._authenticator.http(authorization, peer)
        except GatewayError:
            return False
        return principal.method != "none"

    async def _identify(self, peer: Peer, authorization: str | None, access: Access) -> Principal:
        opened = access is Access.THIS_MACHINE or (access is Access.OPENABLE and self._open)
        if opened and authorization is None and peer.direct_local:
            principal = Principal.http_operator("none", ip=peer.ip, local=True)
        else:
            principal = await self._authenticator.http(authorization, peer)
        if principal.method == "none":
            self._refuse_foreign_pages(peer)
        elif principal.method == "trusted-proxy":
            self._refuse_pages_of_others(peer)
        return principal

    def _refuse_pages_of_others(self, peer: Peer) -> None:
        """Refuse pages of other sites, whose requests the proxy lets in with the user's cookie."""
        if peer.origin is None:
            return
        if origin_problem(peer, allowed=self._allowed_origins, by_host_name=True):
            raise Forbidden("origin not allowed", details={"code": "ORIGIN_NOT_ALLOWED"})

    def _refuse_foreign_pages(self, peer: Peer) -> None:
        """Refuse pages of other sites, and names that were made to point here (DNS rebinding)."""
        if peer.origin is None and not peer.host:
            return
        origins = [peer.origin] if peer.origin else [f"http://{peer.host}", f"https://{peer.host}"]
        problems = [
            origin_problem(
                replace(peer, origin=origin), allowed=self._allowed_origins, by_host_name=False
            )
            for origin in origins
        ]
        if all(problem is not None for problem in problems):
            raise Forbidden("origin not allowed", details={"code": "ORIGIN_NOT_ALLOWED"})
