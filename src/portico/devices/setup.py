"""Making setup codes: the address, the token, the picture.

Not here: what a token does (`auth.bootstrap`), where the gateway can be reached (handed in).

Source: OpenClaw gateway protocol, "device.pair.setupCode".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from portico.auth.bootstrap import PROFILES, Bootstrap
from portico.devices.join import JoinLinks, link_base
from portico.devices.qr import png_data_url
from portico.devices.setup_code import (
    SetupCode,
    is_confidential,
    is_private_enough,
    websocket_url,
)
from portico.protocol.errors import InvalidRequest

SecretKind = Literal["token", "password"]


@dataclass(frozen=True, slots=True)
class Reach:
    """Where others find the gateway.

    Attributes:
        url: its WebSocket address; `None`: others cannot reach it.
        source: what says so: a setting, or `gateway.bind=…`.
        tls_fingerprint: of the certificate it shows there.
        urls: every address it has, `url` first.
        problem: why there is no address, and what to do.
    """

    url: str | None
    source: str = ""
    tls_fingerprint: str | None = None
    problem: str = ""
    urls: tuple[str, ...] = ()


class Whereabouts(Protocol):
    """Knows where others find the gateway."""

    def reach(self, *, prefer_remote: bool) -> Reach:
        """Return where.

        Args:
            prefer_remote: by the address of `gateway.remote`, where there is one.
        """
        ...

    def fingerprint_at(self, url: str) -> str | None:
        """Return what the gateway's certificate is known by, if the address is its very own."""
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """A setup code, and what there is to say about it."""

    code: SetupCode
    setup_id: str
    source: str
    access: str
    is_downgraded: bool
    qr_data_url: str | None
    join_url: str | None = None


class SetupDesk:
    """Makes setup codes.

    Args:
        secret_kind: what proves a caller here; `None`: nothing, so a code would be of no use.
    """

    def __init__(
        self,
        *,
        bootstrap: Bootstrap,
        links: JoinLinks,
        whereabouts: Whereabouts,
        secret_kind: Callable[[], SecretKind | None],
        has_tls: Callable[[], bool],
    ) -> None:
        self._bootstrap = bootstrap
        self._links = links
        self._whereabouts = whereabouts
        self._secret_kind = secret_kind
        self._has_tls = has_tls

    @property
    def secret_kind(self) -> SecretKind:
        """What proves a caller here.

        Raises:
            InvalidRequest: nothing does.
        """
        kind = self._secret_kind()
        if kind is None:
            raise InvalidRequest("Gateway auth is not configured (no token or password).")
        return kind

    async def make(
        self,
        profile: str,
        *,
        public_url: str | None = None,
        prefer_remote: bool = False,
        with_qr: bool = True,
        with_link: bool = False,
    ) -> Made:
        """Make a code.

        Args:
            profile: a name of `auth.bootstrap.PROFILES`; `full` becomes `limited` where somebody
                could read along.

        Raises:
            InvalidRequest: no address for it, or one a device should not talk to.
            Unavailable: too many codes wait for a device.
        """
        reach = self._reach_by(public_url, prefer_remote=prefer_remote)
        if with_link:
            link_base(SetupCode(reach.url or "", "", urls=reach.urls or None))  # or refuse
        url, urls = reach.url or "", reach.urls if len(reach.urls) > 1 else None
        is_downgraded = profile == "full" and not all(map(is_confidential, urls or (url,)))
        chosen = PROFILES["limited" if is_downgraded else profile]
        issued = await self._bootstrap.issue(chosen)
        code = SetupCode(url, issued.token, issued.expires_at_ms, reach.tls_fingerprint, urls)
        link = await self._links.make(code) if with_link else None
        picture = await asyncio.to_thread(png_data_url, code.encode()) if with_qr else None
        return Made(
            code, issued.setup_id, reach.source, chosen.access, is_downgraded, picture, link
        )

    def _reach_by(self, public_url: str | None, *, prefer_remote: bool) -> Reach:
        if public_url is not None:
            scheme = "wss" if self._has_tls() else "ws"
            url = websocket_url(public_url, default_scheme=scheme)
            reach = Reach(
                url,
                "request.publicUrl",
                self._whereabouts.fingerprint_at(url) if url else None,
                problem="publicUrl is not a gateway's address.",
            )
        else:
            reach = self._whereabouts.reach(prefer_remote=prefer_remote)
        if reach.url is None:
            raise InvalidRequest(reach.problem)
        if not is_private_enough(reach.url):
            raise InvalidRequest(
                "Pairing beyond the local network needs a secure gateway URL (wss://)."
                f" Resolved source: {reach.source}. Serve TLS (gateway.tls), put a proxy with TLS"
                " before the gateway, or give its wss:// address. ws:// is only valid for"
                " localhost, private LAN addresses and .local hosts."
            )
        return reach
