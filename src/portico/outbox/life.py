"""The life of a delivery, as a table.

Theory of operation: a delivery waits (`pending`, `retry`), is claimed and its attempt committed
(`sending`) before the provider is called, and ends once. A crash while `sending` leaves it
uncertain whether the provider has it: for channels whose provider takes our id it is sent again,
for others it becomes `unknown` and a person (or the channel's policy) decides.

No I/O here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from portico.channels.contract import (
    AuthExpired,
    ChannelError,
    NotReady,
    RateLimited,
    Rejected,
    Transient,
)


class DeliveryState(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"
    SENDING = "sending"
    RETRY = "retry"
    SENT = "sent"
    UNKNOWN = "unknown"
    FAILED = "failed"
    EXPIRED = "expired"
    DISCARDED = "discarded"


S = DeliveryState

TRANSITIONS: dict[DeliveryState, frozenset[DeliveryState]] = {
    S.PENDING: frozenset({S.SENDING, S.EXPIRED, S.DISCARDED}),
    S.RETRY: frozenset({S.SENDING, S.EXPIRED, S.DISCARDED, S.FAILED, S.UNKNOWN}),
    S.SENDING: frozenset({S.SENT, S.RETRY, S.UNKNOWN, S.FAILED}),
    S.SENT: frozenset({S.FAILED}),  # a provider took it, and gave it back later
    S.UNKNOWN: frozenset({S.PENDING, S.DISCARDED, S.FAILED}),  # a person resends or discards
    S.FAILED: frozenset({S.PENDING, S.DISCARDED}),
    S.EXPIRED: frozenset({S.DISCARDED}),
}

WAITING = frozenset({S.PENDING, S.RETRY})
OPEN = WAITING | {S.SENDING}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long and how often to try.

    Attributes:
        max_attempts: with the provider; waiting for an account that is away does not count.
        expire_after_s: a message older than this is shown, never sent.
        resend_unknown: send again when it is uncertain whether it was sent.
    """

    first_s: float = 1.0
    factor: float = 2.0
    longest_s: float = 300.0
    max_attempts: int = 50
    expire_after_s: float = 3600.0
    resend_unknown: bool = False

    def delay_s(self, attempts: int) -> float:
        """Return the wait after the given number of attempts, with half of it jittered."""
        base = min(self.longest_s, self.first_s * self.factor ** max(0, attempts - 1))
        return base / 2 + random.uniform(0, base / 2)  # spreads load


@dataclass(frozen=True, slots=True)
class Next:
    """What follows an attempt: the state, when to try again, whether the outcome is in doubt."""

    state: DeliveryState
    delay_s: float = 0.0
    uncertain: bool = False


def after_failure(
    error: BaseException,
    *,
    attempts: int,
    keyed: bool,
    policy: RetryPolicy,
    uncertain: bool = False,
) -> Next:
    """Decide what follows an attempt that raised.

    An error that is not one of the channel contract's is as uncertain as a crash.

    Args:
        uncertain: an earlier attempt may have reached the provider: then giving up is not failing.
    """
    given_up = S.UNKNOWN if uncertain else S.FAILED
    if isinstance(error, Rejected | AuthExpired):
        return Next(given_up)
    if isinstance(error, NotReady):  # nothing was tried: only time ends the waiting
        return Next(S.RETRY, policy.delay_s(attempts))
    if isinstance(error, Transient | RateLimited):
        if attempts >= policy.max_attempts:
            return Next(given_up)
        wait = error.retry_after_s if isinstance(error, RateLimited) else policy.delay_s(attempts)
        return Next(S.RETRY, wait)
    return after_uncertainty(attempts=attempts, keyed=keyed, policy=policy)


def after_uncertainty(*, attempts: int, keyed: bool, policy: RetryPolicy) -> Next:
    """Decide what follows an attempt nobody knows the outcome of."""
    if (keyed or policy.resend_unknown) and attempts < policy.max_attempts:
        return Next(S.RETRY, policy.delay_s(attempts), uncertain=True)
    return Next(S.UNKNOWN, uncertain=True)


def describe(error: BaseException) -> str:
    """Return what the operator is shown of an error."""
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, ChannelError) else kind
