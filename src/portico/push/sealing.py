"""Our key pair, and messages sealed so that only one browser can read them.

Guarantees: the private key is made once and stays in a private file (0600); a push service sees how
long a message is, and when, and nothing else.

Source: RFC 8291 (message encryption), RFC 8292 (VAPID).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import http_ece  # type: ignore[import-untyped]  # it has no types
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from portico.config.atomic import write_atomic

TOKEN_S = 12 * 3600
"""RFC 8292 allows 24 hours."""
_POINT_BYTES = 65
_SECRET_BYTES = 16
MAX_MESSAGE_BYTES = 3_000
"""A push service must take 4096 with the seal."""


class Unsealable(ValueError):
    """A browser's keys are none."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Our key pair; `public` as browsers take it: base64url of the point."""

    private: ec.EllipticCurvePrivateKey
    public: str

    def authorization(self, endpoint: str, *, contact: str, now_s: int) -> str:
        """Return the header that tells a push service who sends."""
        parts = urlsplit(endpoint)
        claims = {"aud": f"{parts.scheme}://{parts.netloc}", "exp": now_s + TOKEN_S, "sub": contact}
        token = jwt.encode(claims, self.private, algorithm="ES256")
        return f"vapid t={token},k={self.public}"


def load_keys(file: Path) -> Keys:
    """Read our key pair, or make it.

    Raises:
        OSError: the file cannot be read or written.
        ValueError: it holds something else.
    """
    try:
        private = serialization.load_pem_private_key(file.read_bytes(), None)
    except FileNotFoundError:
        private = ec.generate_private_key(ec.SECP256R1())
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(file, _pem(private))
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{file} holds no key of a curve")  # noqa: TRY004  # it is the file's
    point = private.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    return Keys(private, base64.urlsafe_b64encode(point).decode().rstrip("="))


def seal(message: bytes, *, p256dh: str, auth: str) -> bytes:
    """Seal a message for a browser (`aes128gcm`).

    Raises:
        Unsealable: its keys are none.
    """
    try:
        sealed: bytes = http_ece.encrypt(
            message,
            private_key=ec.generate_private_key(ec.SECP256R1()),
            dh=_bytes(p256dh, _POINT_BYTES),
            auth_secret=_bytes(auth, _SECRET_BYTES),
            version="aes128gcm",
        )
    except (ValueError, http_ece.ECEException) as error:
        raise Unsealable("the browser's keys are not valid") from error
    return sealed


def check_keys(*, p256dh: str, auth: str) -> None:
    """Check a browser's keys.

    Raises:
        Unsealable: they are none.
    """
    seal(b"", p256dh=p256dh, auth=auth)


def _bytes(text: str, size: int) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise Unsealable("the browser's keys are not base64url") from error
    if len(raw) != size:
        raise Unsealable("the browser's keys have a wrong length")
    return raw


def _pem(private: ec.EllipticCurvePrivateKey) -> str:
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
