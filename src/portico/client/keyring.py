"""Which credentials a connection tries, and what is learnt from how that went.

Theory of operation: a secret that was given comes first, then the token this device was issued
before, then the token of a setup code, which is good once. A gateway that refuses the secret but
offers to take the device's token gets that; a device's token it does not know is forgotten, and
what was given is tried.

Guarantees: one handshake leads to at most one more at once, so no secret is tried in a loop.
Source: OpenClaw gateway protocol, "Connect failures" (`canRetryWithDeviceToken`).
"""

from __future__ import annotations

from portico.client.errors import ConnectRefused
from portico.client.model import ClientSettings, Credentials, Hello
from portico.client.tokens import StoredToken

_TOKEN_REFUSED = frozenset({"AUTH_DEVICE_TOKEN_MISMATCH", "AUTH_TOKEN_MISMATCH"})


class KeyRing:
    """The credentials of one client."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._prefers_stored = False
        self._used: Credentials = settings.credentials

    def choose(self) -> Credentials:
        """Return what to try now."""
        given = self._settings.credentials
        has_secret = bool(given.token or given.password or given.device_token)
        stored = self._stored()
        wants_stored = self._prefers_stored or not has_secret
        use_stored = stored is not None and wants_stored
        self._used = Credentials(device_token=stored.token) if stored and use_stored else given
        return self._used

    def accepted(self, hello: Hello) -> None:
        """Keep the tokens that came with a handshake."""
        tokens, url = self._settings.tokens, self._settings.url
        if tokens is not None and self._settings.device is not None:
            for issued in hello.auth.issued:
                stored = StoredToken(issued.device_token, tuple(issued.scopes), issued.issued_at_ms)
                tokens.keep(url, issued.role, stored)

    def refused(self, refused: ConnectRefused) -> bool:
        """Take note of a refusal; return whether something else can be tried at once."""
        if refused.detail_code not in _TOKEN_REFUSED:
            return False
        if self._used is self._settings.credentials:
            offers = refused.details.get("canRetryWithDeviceToken") is True
            self._prefers_stored = offers and self._stored() is not None
            return self._prefers_stored
        self._prefers_stored = False
        if self._settings.tokens is not None:
            self._settings.tokens.forget(self._settings.url, self._settings.role)
        return bool(self._settings.credentials)

    def _stored(self) -> StoredToken | None:
        settings = self._settings
        if settings.tokens is None or settings.device is None:
            return None
        return settings.tokens.find(settings.url, settings.role)
