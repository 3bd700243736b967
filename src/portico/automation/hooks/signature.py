"""Whether a body was signed by who is configured. Pure functions; comparisons take the same time.

Source: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries,
https://docs.stripe.com/webhooks#verify-manually.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from portico.automation.hooks.model import Verification

GITHUB = "x-hub-signature-256"
STRIPE = "stripe-signature"
MAX_SIGNATURES = 10


def is_signed(how: Verification, headers: Mapping[str, str], body: bytes, *, now_s: int) -> bool:
    """Whether a body was signed with the secret (and lately, where the time is signed).

    Args:
        headers: names in lower case.
    """
    match how.kind:
        case "github":
            return _is_one(headers.get(GITHUB, ""), body, how.secret, prefix="sha256=")
        case "stripe":
            return _is_timed(headers.get(STRIPE, ""), body, how, now_s=now_s)
        case "hmac":
            return _is_one(headers.get(how.header, ""), body, how.secret)


def sign(secret: str, body: bytes) -> str:
    """Return a body's signature in hexadecimal digits."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _is_one(given: str, body: bytes, secret: str, *, prefix: str = "") -> bool:
    if prefix and not given.startswith(prefix):
        return False
    return _equal(given.removeprefix("sha256="), sign(secret, body))


def _is_timed(given: str, body: bytes, how: Verification, *, now_s: int) -> bool:
    parts = [part.strip().partition("=") for part in given.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdecimal()) or len(times[0]) > 12:
        return False
    if abs(now_s - int(times[0])) > how.tolerance_s:
        return False
    wanted = sign(how.secret, f"{times[0]}.".encode() + body)
    signatures = [value for name, _, value in parts if name == "v1"][:MAX_SIGNATURES]
    return any([_equal(one, wanted) for one in signatures])  # noqa: C419 - all compared


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
