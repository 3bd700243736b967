"""From what an SMTP server answers, or does not, to the six errors a channel may raise.

Source: RFC 5321, section 4.2 (codes); RFC 3463 (enhanced codes); RFC 4954, section 6 (AUTH).
"""

from __future__ import annotations

import re

from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPException,
    SMTPNotSupported,
    SMTPResponseException,
)

from portico.channels.contract import (
    AuthExpired,
    ChannelError,
    RateLimited,
    Rejected,
    Transient,
)

SLOWER = frozenset({421, 450, 451, 452})
LONGEST_WAIT_S = 3600.0
LOGIN_REFUSED = "the SMTP server does not accept the login"
_TRY_AGAIN_LATER = frozenset({454})
_UNITS = {"s": 1, "m": 60, "h": 3600}
_WAIT = re.compile(
    r"\b(\d{1,5})\s*(s|sec|secs|seconds?|m|min|mins|minutes?|h|hours?)\b", re.IGNORECASE
)


def refused(error: SMTPResponseException) -> ChannelError:
    """Return what a server's refusal means for the delivery."""
    told = f"the server answered {error.code} {_one_line(error.message)}".strip()
    if isinstance(error, SMTPAuthenticationError) and error.code not in _TRY_AGAIN_LATER:
        if error.code < 500:
            return Transient(told)
        return AuthExpired(f"{LOGIN_REFUSED} ({error.code})")
    if error.code in {530, 535, 538}:
        return AuthExpired(f"{LOGIN_REFUSED} ({error.code})")
    if error.code in SLOWER and (wait_s := stated_wait_s(error.message)) is not None:
        return RateLimited(told, retry_after_s=wait_s)
    if 400 <= error.code < 500 or error.code < 0:
        return Transient(told)
    return Rejected(told)


def not_sent(error: Exception) -> ChannelError:
    """Return what it means that something went wrong before the mail was handed over."""
    match error:
        case SMTPResponseException():
            return refused(error)
        case SMTPNotSupported():
            return Rejected(_one_line(str(error)))
        case SMTPException() | OSError():
            return Transient(_one_line(str(error)) or type(error).__name__)
        case _:
            return Rejected(f"{type(error).__name__}: {_one_line(str(error))}")


def stated_wait_s(text: str) -> float | None:
    """Return how long a server says to wait; `None`: it does not say."""
    found = _WAIT.search(text)
    if found is None:
        return None
    return min(LONGEST_WAIT_S, float(found[1]) * _UNITS[found[2][0].lower()])


def _one_line(text: str) -> str:
    return " ".join(text.encode("utf-8", "replace").decode().split())[:300]
