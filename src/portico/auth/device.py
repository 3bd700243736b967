"""A device proves that it holds the key its id is the hash of.

Guarantees: a proof is good for one connection only (the challenge's nonce) and for two minutes;
checks run in the protocol's order, each with its own error.

Source: OpenClaw gateway protocol, "Device identity and signature".
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from portico.protocol.connect import ConnectParams, DeviceProof
from portico.protocol.errors import InvalidRequest

MAX_SKEW_MS = 120_000
_KEY_BYTES = 32


def decode_base64(text: str) -> bytes | None:
    """Decode base64url or ordinary base64, padded or not; `None` when it is neither."""
    compact = text.strip().replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def raw_public_key(public_key: str) -> bytes | None:
    """Return the key's raw bytes from base64url or PEM; `None` when it cannot be read."""
    if "BEGIN" not in public_key:
        return decode_base64(public_key)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(public_key.encode())
    except ValueError:
        return None
    return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else None


def device_id_of(raw_key: bytes) -> str:
    """Return the id of the device that holds a key."""
    return hashlib.sha256(raw_key).hexdigest()


def encode_key(raw_key: bytes) -> str:
    """Return a raw key as it is stored and shown: base64url without padding."""
    return base64.urlsafe_b64encode(raw_key).rstrip(b"=").decode()


def signed_payloads(params: ConnectParams, device: DeviceProof) -> tuple[bytes, bytes]:
    """Return what the device may have signed: the text of version 3, then of version 2."""
    auth, client = params.auth, params.client
    token = auth.token or auth.device_token or auth.bootstrap_token or ""
    common = "|".join(
        (
            device.id,
            client.id,
            client.mode,
            params.role,
            ",".join(params.scopes),
            str(device.signed_at),
            token,
            device.nonce,
        )
    )
    extra = f"{normalize(client.platform)}|{normalize(client.device_family)}"
    return f"v3|{common}|{extra}".encode(), f"v2|{common}".encode()


def normalize(text: str | None) -> str:
    """Fold a platform or device family as it is signed: trimmed, ASCII letters lowercased."""
    return "".join(c.lower() if c.isascii() else c for c in (text or "").strip())


def verify_device(params: ConnectParams, device: DeviceProof, *, nonce: str, now_ms: int) -> bytes:
    """Check a proof and return the device's raw public key.

    Args:
        nonce: the one this connection was challenged with.

    Raises:
        InvalidRequest: the first check that failed.
    """
    raw_key = raw_public_key(device.public_key)
    if raw_key is None:
        raise _refused("PUBLIC_KEY_INVALID", "device-public-key", "device public key invalid")
    if device_id_of(raw_key) != device.id:
        raise _refused("DEVICE_ID_MISMATCH", "device-id-mismatch", "device identity mismatch")
    if abs(now_ms - device.signed_at) > MAX_SKEW_MS:
        raise _refused("SIGNATURE_EXPIRED", "device-signature-stale", "device signature expired")
    given = device.nonce.strip()
    if not given:
        raise _refused("NONCE_REQUIRED", "device-nonce-missing", "device nonce required")
    if given != nonce:
        raise _refused("NONCE_MISMATCH", "device-nonce-mismatch", "device nonce mismatch")
    if len(raw_key) != _KEY_BYTES:
        raise _refused("PUBLIC_KEY_INVALID", "device-public-key", "device public key invalid")
    if not _signed(raw_key, device.signature, signed_payloads(params, device)):
        raise _refused("SIGNATURE_INVALID", "device-signature", "device signature invalid")
    return raw_key


def _signed(raw_key: bytes, signature: str, payloads: tuple[bytes, ...]) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    raw_signature = decode_base64(signature)
    if raw_signature is None:
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(raw_key)
    except ValueError:
        return False
    for payload in payloads:
        try:
            key.verify(raw_signature, payload)
        except InvalidSignature:
            continue
        return True
    return False


def _refused(code: str, reason: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, details={"code": f"DEVICE_AUTH_{code}", "reason": reason})
