"""Signing and proving: HMAC-SHA256 over id, time and body.

    webhook-id: msg_1
    webhook-timestamp: 1800000000
    webhook-signature: v1,<base64> v1,<base64 of an older secret>

Source: the Standard Webhooks specification, "Signature scheme" (www.standardwebhooks.com).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

PREFIX = "whsec_"
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
MAX_ID_CHARS = 256


class Unproven(Exception):
    """Nobody proved to know the secret; the text says what is missing, fit for the caller."""


def signing_key(secret: str) -> bytes:
    """Return the key a secret stands for."""
    if secret.startswith(PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            return b""
    return secret.encode()


def sign(secret: str, *, event_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Return the headers that prove who sends a body."""
    return {
        ID: event_id,
        TIMESTAMP: str(timestamp_s),
        SIGNATURE: f"v1,{_digest(secret, event_id, timestamp_s, body)}",
    }


def prove(
    secret: str, headers: Mapping[str, str], body: bytes, *, now_s: int, tolerance_s: int
) -> str:
    """Return the id of a request that was signed with the secret, lately.

    Args:
        headers: names in lower case.

    Raises:
        Unproven: it was not.
    """
    event_id = headers.get(ID, "")
    timestamp, signatures = headers.get(TIMESTAMP, ""), headers.get(SIGNATURE, "")
    if not event_id or len(event_id) > MAX_ID_CHARS or not event_id.isprintable():
        raise Unproven(f"header {ID} is missing or too long")
    if not (timestamp.isascii() and timestamp.isdecimal()) or len(timestamp) > 12:
        raise Unproven(f"header {TIMESTAMP} is missing or not a number of seconds")
    if abs(now_s - int(timestamp)) > tolerance_s:
        raise Unproven(f"header {TIMESTAMP} is too far from the present")
    wanted = _digest(secret, event_id, int(timestamp), body).encode()
    given = [part.partition(",") for part in signatures.split()]
    if not any(
        version == "v1" and hmac.compare_digest(wanted, digest.encode())
        for version, _, digest in given
    ):
        raise Unproven("the signature does not fit")
    return event_id


def _digest(secret: str, event_id: str, timestamp_s: int, body: bytes) -> str:
    signed = f"{event_id}.{timestamp_s}.".encode() + body
    return base64.b64encode(hmac.digest(signing_key(secret), signed, hashlib.sha256)).decode()
