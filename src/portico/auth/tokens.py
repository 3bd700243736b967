"""Device tokens: how one is made, and how it is made again.

Theory of operation: a token is derived from the gateway's secret and a salt that is stored with
its hash. So the token itself is nowhere, and yet a device that proves itself again is handed the
same one. Every token has a salt of its own: one that was revoked never comes back.

Guarantees: without the gateway's secret nothing that is stored makes a token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from portico.auth.rows import TokenRow
from portico.ids import new_secret


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A device token as its device is handed it."""

    token: str
    role: str
    scopes: tuple[str, ...]
    issued_at_ms: int


def hash_token(token: str) -> str:
    """Return the form in which a token is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


class TokenMaker:
    """Makes device tokens."""

    def __init__(self, *, secret: str | None) -> None:
        """Begin with the gateway's secret; without one, tokens last as long as the process."""
        self._key = b""
        self.configure(secret=secret)

    def configure(self, *, secret: str | None) -> None:
        """Use another shared secret from now on."""
        seed = secret.encode() if secret else secrets.token_bytes(32)
        self._key = hashlib.sha256(b"portico device token\0" + seed).digest()

    def issue(
        self,
        device_id: str,
        role: str,
        scopes: tuple[str, ...],
        *,
        before: TokenRow | None,
        now: int,
    ) -> tuple[IssuedToken, TokenRow]:
        """Make a token that was never made before, and the row it is known by.

        Args:
            before: what the device held in this role, revoked or not.
        """
        salt = new_secret(16)
        token = self._derive(f"{device_id}|{role}|{salt}")
        row = TokenRow(
            device_id=device_id,
            role=role,
            token_hash=hash_token(token),
            scopes=scopes,
            created_at=before.created_at if before else now,
            rotated_at=now if before else None,
            revoked_at=None,
            last_used_at=before.last_used_at if before else None,
            salt=salt,
        )
        return IssuedToken(token, role, scopes, now), row

    def again(self, held: TokenRow) -> IssuedToken | None:
        """Return a token that was issued; `None`: it was made with another secret."""
        known_by = held.salt or str(held.issued_at)
        token = self._derive(f"{held.device_id}|{held.role}|{known_by}")
        if not hmac.compare_digest(hash_token(token), held.token_hash):
            return None
        return IssuedToken(token, held.role, held.scopes, held.issued_at)

    def _derive(self, text: str) -> str:
        digest = hmac.digest(self._key, text.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
