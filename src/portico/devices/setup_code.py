"""Setup codes: what a device has to know to come in, in one line that fits into a QR code.

Guarantees: an address in a code has no credentials in it, and is one a device may talk to:
encrypted, or on this machine or its local network.

Source: OpenClaw gateway protocol, "Device pairing" (setup code).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from portico.auth.peer import is_loopback

PREFIX = "oc-pair://"
MOST_URLS = 8
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_EMULATOR = "10.0.2.2"  # how an Android emulator calls its host
_CARRIER = ipaddress.ip_network("100.64.0.0/10")  # carriers and tailnets (RFC 6598)

Fingerprint = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class BadSetupCode(ValueError):
    """It is none, or its time is over."""


class SetupCode(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """What a setup code says.

    Attributes:
        tls_fingerprint: SHA-256 of the certificate the gateway shows at `url`, in hex.
    """

    url: str
    bootstrap_token: str = msgspec.field(name="bootstrapToken")
    expires_at_ms: int | None = None
    tls_fingerprint: Fingerprint | None = None
    urls: tuple[str, ...] | None = None

    def encode(self) -> str:
        """Return the code: base64url of JSON, without padding."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).rstrip(b"=").decode()


def decode(text: str, *, now_ms: int) -> SetupCode:
    """Read a setup code, with or without its `oc-pair://`.

    Raises:
        BadSetupCode: it is none, or expired.
    """
    plain = text.strip()
    if plain.lower().startswith(PREFIX):
        plain = plain[len(PREFIX) :]
    try:
        raw = base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
        code = msgspec.json.decode(raw, type=SetupCode)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise BadSetupCode("this is not a setup code") from None
    if not code.bootstrap_token or websocket_url(code.url) != code.url:
        raise BadSetupCode("this is not a setup code")
    if code.expires_at_ms is not None and code.expires_at_ms <= now_ms:
        raise BadSetupCode("this setup code has expired; make a new one")
    return code


def websocket_url(text: str, *, default_scheme: str = "ws") -> str | None:
    """Return a gateway's address as a WebSocket URL; `None` when it is none, or not fit to show."""
    plain = text.strip()
    if "://" not in plain:
        plain = f"{default_scheme}://{plain}"
    try:
        parts = urlsplit(plain)
        scheme, host, port = _SCHEMES.get(parts.scheme.lower()), parts.hostname, parts.port
    except ValueError:
        return None
    if scheme is None or not host or "@" in parts.netloc or any(c.isspace() for c in plain):
        return None
    name = f"[{host}]" if ":" in host else host
    path = "" if parts.path == "/" else parts.path
    return f"{scheme}://{name}{f':{port}' if port else ''}{path}"


def is_private_enough(url: str) -> bool:
    """Whether a device may send a token there: encrypted, or no farther than the local network."""
    if url.startswith("wss://"):
        return True
    name = (urlsplit(url).hostname or "").rstrip(".")
    if is_loopback(name) or name.endswith(".local") or name == _EMULATOR:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return (address.is_private or address.is_link_local) and not (
        address.version == 4 and address in _CARRIER
    )


def is_confidential(url: str) -> bool:
    """Whether nobody else can read along, so that the code may make an administrator."""
    return url.startswith("wss://") or is_loopback(urlsplit(url).hostname or "")
