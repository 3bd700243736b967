"""Asking to write, as a table of rules.

Theory of operation: a stranger who writes to an account with `dmPolicy: "pairing"` gets one answer
with a code and asks by it (`pending`). The operator approves with the code the person shows, or
knowing the sender's id; or rejects, and then the person is not answered for some hours. A request
that nobody answers runs out. Who is approved is on a list of its own, until revoked.

Against spam: one code per person until it has run out; a cap on requests that wait and on new ones
per hour, for each account. Against guessing: wrong codes lock approving by code for a while.

No I/O here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

MINUTE_MS = 60_000
HOUR_MS = 3_600_000


class RequestState(StrEnum):
    """Where a request is. Approved ones are deleted: the person is on the list then."""

    PENDING = "pending"
    REJECTED = "rejected"


class Standing(StrEnum):
    """What becomes of a stranger's message."""

    ASK = "ask"  # a new request, answered with a code
    WAIT = "wait"  # has asked already
    REJECTED = "rejected"
    FULL = "full"  # too many ask already


REASONS = {
    Standing.ASK: "not approved yet: a pairing code was sent",
    Standing.WAIT: "not approved yet: waits for the operator",
    Standing.REJECTED: "the operator rejected the sender",
    Standing.FULL: "not approved, and too many others ask already",
}


@dataclass(frozen=True, slots=True)
class PairingRules:
    """The numbers.

    Attributes:
        ttl_ms: how long a code is good.
        pending: requests of one account that may wait.
        per_hour: new requests of one account in an hour.
        wrong_codes: in a row, after which approving by code is locked for `lock_ms`.
        rejected_ms: how long a rejected person is not answered.
    """

    ttl_ms: int = HOUR_MS
    pending: int = 10
    per_hour: int = 30
    wrong_codes: int = 5
    lock_ms: int = HOUR_MS
    rejected_ms: int = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Known:
    """What is on record of a stranger, and of the others who ask.

    Attributes:
        state: of the stranger's own request; `None`: there is none.
        pending, lately: requests of the account that wait, and that were made within an hour.
    """

    state: RequestState | None
    expires_at: int
    pending: int
    lately: int


def standing_of(known: Known, *, now: int, rules: PairingRules) -> Standing:
    """Decide what becomes of a stranger's message."""
    if known.state is not None and known.expires_at > now:
        return Standing.REJECTED if known.state is RequestState.REJECTED else Standing.WAIT
    if known.pending >= rules.pending or known.lately >= rules.per_hour:
        return Standing.FULL
    return Standing.ASK


def locked_until(failures: int, *, now: int, rules: PairingRules) -> int | None:
    """Return until when approving by code is locked after so many wrong ones in a row."""
    return now + rules.lock_ms if failures >= rules.wrong_codes else None


def normalized(code: str) -> str:
    """Return a code as it is compared: people add spaces and dashes, and write small."""
    return "".join(char for char in code.upper() if char.isalnum())


def code_hash(code: str, request_id: str) -> str:
    """Return the form in which a code is stored."""
    return hashlib.sha256(f"{request_id}\0{normalized(code)}".encode()).hexdigest()


def shown(code: str) -> str:
    """Return a code as a person reads it."""
    return f"{code[:4]}-{code[4:]}"
