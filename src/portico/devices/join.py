"""Join links: an address that gives a setup code to whoever opens it first.

Theory of operation: what a link gives away is a secret, so it is kept in memory only, under the
hash of the link's own secret; a restart of the gateway forgets it, as does the end of its time.

Guarantees: a link works once; links are bounded in number.

Source: OpenClaw gateway protocol, "device.pair.setupCode" (joinUrl).
"""

from __future__ import annotations

from collections import OrderedDict
from urllib.parse import urlsplit

from portico.auth.peer import is_loopback
from portico.auth.tokens import hash_token
from portico.clock import Clock
from portico.devices.setup_code import SetupCode
from portico.ids import new_secret
from portico.protocol.errors import InvalidRequest

PREFIX = "/j/"
MOST = 50
_SECRET_BYTES = 16


class JoinLinks:
    """The links that were not opened yet."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._codes: OrderedDict[str, SetupCode] = OrderedDict()

    def make(self, code: SetupCode) -> str:
        """Return a link that gives this code once."""
        base = link_base(code)
        secret = new_secret(_SECRET_BYTES)
        self._codes[hash_token(secret)] = code
        while len(self._codes) > MOST:
            self._codes.popitem(last=False)
        return f"{base}{PREFIX}{secret}"

    def open(self, secret: str) -> SetupCode | None:
        """Give the code of a link; `None`: it is none, was opened, or its time is over."""
        code = self._codes.pop(hash_token(secret), None)
        if code is None or (code.expires_at_ms or 0) <= self._clock.now_ms():
            return None
        return code


def link_base(code: SetupCode) -> str:
    """Return the address below which a code's link stands.

    Raises:
        InvalidRequest: the gateway has no address that is safe for a link.
    """
    for url in code.urls or (code.url,):
        if url.startswith("wss://"):
            return f"https{url.removeprefix('wss')}".rstrip("/")
        if is_loopback(urlsplit(url).hostname or ""):
            return f"http{url.removeprefix('ws')}".rstrip("/")
    raise InvalidRequest(
        "Join URLs require a TLS gateway endpoint, except for loopback."
        " Use the setup code directly for plaintext LAN pairing."
    )
