"""The unguessable parts of addresses: who has one may look at the canvas, and nothing else.

Theory of operation: a connection is given a token. Pages cannot send headers with the pictures and
scripts they load, so the token stands in the path. It lives ten minutes from its last use, and
never longer than the connection it was given to.

Guarantees: only the hash of a token is kept; a connection has two tokens at most; a token of a
closed connection is worth nothing.

Source: OpenClaw gateway protocol, "Canvas, A2UI and capability URLs".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from portico.clock import Clock
from portico.ids import ConnId, new_secret

TOKEN_BYTES = 18
TOKEN = re.compile(r"[A-Za-z0-9_-]{24}")
TTL_MS = 600_000


@dataclass(frozen=True, slots=True)
class Minted:
    """A fresh token. It is shown once, to the connection it is for."""

    token: str = field(repr=False)
    expires_at_ms: int


@dataclass(slots=True)
class Capability:
    """What a token is good for.

    Attributes:
        has_ended: its connection is closed, or was given others.
    """

    digest: bytes = field(repr=False)
    expires_at_ms: int
    has_ended: bool = False


class Capabilities:
    """Every token of this process. There are no more than two for each connection.

    Args:
        ttl_ms: how long one lives after its last use.
    """

    def __init__(self, *, clock: Clock, ttl_ms: int = TTL_MS) -> None:
        self._clock = clock
        self._ttl_ms = ttl_ms
        self._by_digest: dict[bytes, Capability] = {}
        self._by_connection: dict[ConnId, tuple[Capability, ...]] = {}

    def __len__(self) -> int:
        return len(self._by_digest)

    def mint(self, conn_id: ConnId, *, beside: bool = False) -> Minted:
        """Give a connection a token.

        Args:
            beside: the newest it had lives on; else all it had end.
        """
        token = new_secret(TOKEN_BYTES)
        fresh = Capability(_digest(token), self._clock.now_ms() + self._ttl_ms)
        before = self._by_connection.get(conn_id, ())
        kept = before[-1:] if beside else ()
        self._end(before[: len(before) - len(kept)])
        self._by_connection[conn_id] = (*kept, fresh)
        self._by_digest[fresh.digest] = fresh
        return Minted(token, fresh.expires_at_ms)

    def use(self, token: str) -> Capability | None:
        """Return what a token is good for, and let it live on; `None`: it is worth nothing."""
        if not TOKEN.fullmatch(token):
            return None
        digest = _digest(token)
        found = self._by_digest.get(digest)
        if found is None or not hmac.compare_digest(found.digest, digest):
            return None
        return found if self.extend(found) else None

    def extend(self, capability: Capability) -> bool:
        """Let one live on that is in use; return whether it still did."""
        now_ms = self._clock.now_ms()
        if capability.has_ended or capability.expires_at_ms <= now_ms:
            return False
        capability.expires_at_ms = now_ms + self._ttl_ms
        return True

    def release(self, conn_id: ConnId) -> None:
        """Forget what a connection had."""
        self._end(self._by_connection.pop(conn_id, ()))

    def _end(self, capabilities: Iterable[Capability]) -> None:
        for capability in capabilities:
            self._by_digest.pop(capability.digest, None)
            capability.has_ended = True


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
