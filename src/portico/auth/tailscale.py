"""Who somebody of the tailnet is, as this machine's own tailscaled says.

Guarantees: fails closed; an answer takes at most `timeout_s`; known answers are kept for a minute,
failures for five seconds, at most 256 of both. A machine that belongs to nobody (tagged) is nobody.

Not here: which requests came through Tailscale (`auth.peer`), Serve itself (`discovery`).

Source: Tailscale, `tailscale whois --json` and tailscaled's local API, `/localapi/v0/whois`;
https://tailscale.com/kb/1312/serve "Identity headers".
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from portico.auth.peer import Peer
from portico.clock import Clock
from portico.process.programs import ProgramMissing, ProgramTooSlow, run_program

log = structlog.get_logger()

LOGIN_HEADER: Final = "tailscale-user-login"
HEADERS: Final = frozenset(
    {LOGIN_HEADER, "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}
)
DEFAULT_SOCKET: Final = "/var/run/tailscale/tailscaled.sock"
_TAGGED: Final = "tagged-devices"
_MOST_KNOWN: Final = 256
_KNOWN_MS: Final = 60_000
_UNKNOWN_MS: Final = 5_000
_MAX_ANSWER_BYTES: Final = 262_144


class TailscaleRefused(Exception):
    """Nobody of the tailnet, as far as can be proved."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TailscaleSettings:
    """How tailscaled is asked.

    Attributes:
        socket: of its local API.
        program: asked where the socket cannot be.
        env: what the program is started with.
    """

    socket: str = DEFAULT_SOCKET
    program: str = "tailscale"
    env: Mapping[str, str] | None = None
    timeout_s: float = 3.0


class Whois:
    """Asks tailscaled who has an address."""

    def __init__(self, settings: TailscaleSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._known: OrderedDict[str, tuple[str | None, int]] = OrderedDict()

    async def login_of(self, peer: Peer) -> str:
        """Return the login of whoever comes through Tailscale Serve.

        Raises:
            TailscaleRefused: it is not proved.
        """
        claimed = peer.headers.get(LOGIN_HEADER, "").strip()
        if not claimed:
            raise TailscaleRefused("tailscale_user_missing")
        if not peer.via_tailscale or not all(peer.headers.get(name) for name in HEADERS):
            raise TailscaleRefused("tailscale_proxy_missing")
        login = await self.login_at(peer.ip or "")
        if login is None:
            raise TailscaleRefused("tailscale_whois_failed")
        if login.lower() != claimed.lower():
            raise TailscaleRefused("tailscale_user_mismatch")
        return login

    async def login_at(self, ip: str) -> str | None:
        """Return the login of the user whose machine has an address; `None`: not known."""
        try:
            address = str(ipaddress.ip_address(ip))
        except ValueError:
            return None
        now_ms = self._clock.now_ms()
        login, until_ms = self._known.get(address, (None, 0))
        if now_ms < until_ms:
            return login
        login = await self._ask(address)
        self._known[address] = (login, now_ms + (_KNOWN_MS if login else _UNKNOWN_MS))
        self._known.move_to_end(address)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return login

    async def _ask(self, address: str) -> str | None:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                answer = await self._by_socket(address)
                if answer is None:
                    answer = await self._by_program(address)
        except TimeoutError:
            answer = None
            log.warning("tailscale.whois", problem="no answer in time")
        return _login(answer)

    async def _by_socket(self, address: str) -> Any:
        import httpx2

        transport = httpx2.AsyncHTTPTransport(uds=self._settings.socket)
        url = "http://local-tailscaled.sock/localapi/v0/whois"
        try:
            async with httpx2.AsyncClient(transport=transport, trust_env=False) as client:
                answer = await client.get(url, params={"addr": address})
        except (httpx2.HTTPError, OSError) as error:
            log.debug("tailscale.local_api", problem=str(error) or type(error).__name__)
            return None
        return _json(answer.content) if answer.status_code == 200 else None

    async def _by_program(self, address: str) -> Any:
        settings = self._settings
        try:
            done = await run_program(
                [settings.program, "whois", "--json", address],
                env=settings.env or {},
                timeout_s=settings.timeout_s,
                max_output_bytes=_MAX_ANSWER_BYTES,
            )
        except (ProgramMissing, ProgramTooSlow) as error:
            log.warning("tailscale.whois", problem=str(error))
            return None
        return _json(done.stdout) if done.code == 0 else None


def _json(content: bytes) -> Any:
    if len(content) > _MAX_ANSWER_BYTES:
        return None
    try:
        return json.loads(content)
    except ValueError:
        return None


def _login(answer: Any) -> str | None:
    profile = answer.get("UserProfile") if isinstance(answer, dict) else None
    login = profile.get("LoginName") if isinstance(profile, dict) else None
    if not isinstance(login, str) or not login.strip() or login.strip() == _TAGGED:
        return None
    return login.strip()
