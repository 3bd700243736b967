"""Join links: an address that gives a setup code to whoever opens it first.

Theory of operation: what a link gives away is a secret. It is kept sealed with a key that is made
of the link's own secret, under the hash of that: who reads the database learns nothing, and any
process of the gateway can open a link another one made.

Guarantees: a link works once, until its code expires, over restarts; links are bounded in number.

Source: OpenClaw gateway protocol, "device.pair.setupCode" (joinUrl).
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import urlsplit

import msgspec

from portico.auth.peer import is_loopback
from portico.auth.tokens import hash_token
from portico.clock import Clock
from portico.devices.setup_code import SetupCode
from portico.ids import new_secret
from portico.protocol.errors import InvalidRequest
from portico.store import Store, Work, documents

PREFIX = "/j/"
MOST = 50
OWNER = "devices/join"
_SECRET_BYTES = 16
_LONGEST_SECRET = 64
_NONCE = b"\0" * 12  # a key seals one code only


class JoinLinks:
    """The links that were not opened yet."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def make(self, code: SetupCode) -> str:
        """Return a link that gives this code once."""
        base = link_base(code)
        secret = new_secret(_SECRET_BYTES)
        kept = {"sealed": _seal(secret, code), "expiresAtMs": code.expires_at_ms or 0}
        await self._store.write(_keep, hash_token(secret), kept, now=self._clock.now_ms())
        return f"{base}{PREFIX}{secret}"

    async def open(self, secret: str) -> SetupCode | None:
        """Give the code of a link; `None`: it is none, was opened, or its time is over."""
        if not secret or len(secret) > _LONGEST_SECRET:
            return None
        name = hash_token(secret)
        kept = await self._store.read(documents.find, OWNER, name)
        if kept is None or kept["expiresAtMs"] <= self._clock.now_ms():
            return None
        was_there = await self._store.write(documents.remove, OWNER, name)
        return _unseal(secret, kept["sealed"]) if was_there else None


def _keep(name: str, kept: dict[str, Any], *, now: int) -> Work[None]:
    """Keep a link; those that are over go, and the oldest of too many."""
    links = yield from documents.list_of(OWNER)
    over = [one for one, link in links.items() if link["expiresAtMs"] <= now]
    open_ones = [one for one in links if one not in over]
    for one in [*over, *open_ones[: max(0, len(open_ones) - MOST + 1)]]:
        yield from documents.remove(OWNER, one)
    yield from documents.put(OWNER, name, kept, now=now)


def _seal(secret: str, code: SetupCode) -> str:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    sealed = AESGCM(_key(secret)).encrypt(_NONCE, msgspec.json.encode(code), OWNER.encode())
    return base64.b64encode(sealed).decode()


def _unseal(secret: str, sealed: str) -> SetupCode | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        plain = AESGCM(_key(secret)).decrypt(_NONCE, base64.b64decode(sealed), OWNER.encode())
        return msgspec.json.decode(plain, type=SetupCode)
    except (InvalidTag, ValueError):
        return None


def _key(secret: str) -> bytes:
    """Another hash than the one the link is found by: that one is in the database."""
    return hashlib.sha256(b"portico join link key\0" + secret.encode()).digest()


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
