"""The device identity of a remote client: an Ed25519 key in a file, and its proof of possession.

Guarantees: the key file is created with mode 0600 and never overwritten.
Source: OpenClaw gateway protocol, "Device identity and signature" (payload v3).
"""

from __future__ import annotations

import hashlib
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """A key pair and the id that follows from it. `seed` is the private key's 32 bytes."""

    seed: bytes = field(repr=False)
    public_key: bytes

    @property
    def device_id(self) -> str:
        """Lowercase hex SHA-256 of the raw public key."""
        return hashlib.sha256(self.public_key).hexdigest()

    @property
    def encoded_public_key(self) -> str:
        """The raw public key in base64url, as the wire has it."""
        return _encode(self.public_key)

    def prove(
        self,
        *,
        client: dict[str, Any],
        role: str,
        scopes: tuple[str, ...],
        token: str,
        nonce: str,
        signed_at_ms: int,
    ) -> dict[str, Any]:
        """Return the `device` member of the connect params for one challenge."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        payload = "|".join(
            (
                "v3",
                self.device_id,
                client["id"],
                client["mode"],
                role,
                ",".join(scopes),
                str(signed_at_ms),
                token,
                nonce,
                _plain(client.get("platform", "")),
                _plain(client.get("deviceFamily", "")),
            )
        )
        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(payload.encode())
        return {
            "id": self.device_id,
            "publicKey": _encode(self.public_key),
            "signature": _encode(signature),
            "signedAt": signed_at_ms,
            "nonce": nonce,
        }


def load_or_create_identity(path: Path) -> DeviceIdentity:
    """Read the key file, or make a key and write it.

    Raises:
        ValueError: the file is not a key file.
        OSError: it can be neither read nor written.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return _create(path)
    try:
        return _from_seed(_decode(msgspec.json.decode(content, type=dict[str, str])["seed"]))
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a device key: {error}") from error


def _create(path: Path) -> DeviceIdentity:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    identity = _from_seed(Ed25519PrivateKey.generate().private_bytes_raw())
    for directory in (path.parent.parent, path.parent):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # two commands at once: the first one's key counts
        return load_or_create_identity(path)
    with os.fdopen(descriptor, "wb") as file:
        file.write(
            msgspec.json.encode({"deviceId": identity.device_id, "seed": _encode(identity.seed)})
        )
    return identity


def _from_seed(seed: bytes) -> DeviceIdentity:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return DeviceIdentity(seed=seed, public_key=public.public_bytes_raw())


def _plain(text: str) -> str:
    # The protocol lowercases ASCII letters only.
    return "".join(c.lower() if c.isascii() else c for c in text.strip())


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
