"""The one place that makes ids and secrets.

Ids are prefixed and sort by creation time: `run_01k…`: 48 bits of milliseconds and 80 random bits
in lowercase Crockford base 32, as a ULID. Ids that clients choose (idempotency keys that become run
ids) are taken as they are.
"""

from __future__ import annotations

import os
import secrets
import time
import uuid
from typing import NewType

AgentId = NewType("AgentId", str)
ConnId = NewType("ConnId", str)
DeliveryId = NewType("DeliveryId", str)
DeviceId = NewType("DeviceId", str)
EntryId = NewType("EntryId", str)
MessageId = NewType("MessageId", str)
RunId = NewType("RunId", str)
SessionId = NewType("SessionId", str)
SessionKey = NewType("SessionKey", str)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TYPED = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # without 0 1 I L O
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]


def _ulid() -> str:
    value = ((time.time_ns() // 1_000_000) << 80) | int.from_bytes(os.urandom(10))
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(120, -10, -10)])


def new_id(prefix: str) -> str:
    """Return a fresh id `<prefix>_<26 characters>` that sorts by the time it was made."""
    return f"{prefix}_{_ulid()}"


def new_uuid() -> str:
    """Return a random UUID, for the places where the protocol shows one (nonces, connections)."""
    return str(uuid.UUID(bytes=os.urandom(16), version=4))


def new_secret(size_bytes: int = 32) -> str:
    """Return `size_bytes` random bytes as unpadded base64url."""
    return secrets.token_urlsafe(size_bytes)


def new_code(length: int = 8) -> str:
    """Return a code that a person types: letters and digits that look like no others."""
    return "".join(secrets.choice(_TYPED) for _ in range(length))
