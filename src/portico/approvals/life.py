"""The life of an approval, as a table.

Theory of operation: an approval waits (`pending`) until a reviewer decides, its time is up, its
asker goes away, or it turns out that nobody can be asked. Each of these ends it, once; whatever
comes later finds the end that is on record. The same decision again is an answer, another one is
refused. A yes for one time (`allow-once`) is used up by the asker that acts on it.

No I/O here; `store.py` turns each transition into one guarded statement.

Source: OpenClaw gateway protocol, "exec.approval.*", and its approval snapshots.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, StrEnum
from typing import Literal, get_args

Decision = Literal["allow-once", "allow-always", "deny"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)


class ApprovalState(StrEnum):
    """Where an approval is."""

    PENDING = "pending"
    ALLOWED = "allowed"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Reason(StrEnum):
    """Why an approval ended."""

    USER = "user"  # a reviewer decided
    NO_ROUTE = "no-route"  # nobody could be asked
    TIMEOUT = "timeout"
    RUN_ABORTED = "run-aborted"  # the asker was stopped
    GATEWAY_RESTART = "gateway-restart"  # the asker did not come back


S = ApprovalState

TRANSITIONS: dict[ApprovalState, frozenset[ApprovalState]] = {
    S.PENDING: frozenset({S.ALLOWED, S.DENIED, S.EXPIRED, S.CANCELLED}),
}

ENDED_BY: dict[Reason, frozenset[ApprovalState]] = {
    Reason.USER: frozenset({S.ALLOWED, S.DENIED}),
    Reason.NO_ROUTE: frozenset({S.DENIED}),
    Reason.TIMEOUT: frozenset({S.EXPIRED}),
    Reason.RUN_ABORTED: frozenset({S.CANCELLED}),
    Reason.GATEWAY_RESTART: frozenset({S.CANCELLED}),
}


class Outcome(Enum):
    """What a decision came to."""

    APPLIED = "applied"
    REPEATED = "repeated"  # it is on record already
    CONFLICT = "conflict"  # another one is
    OVER = "over"  # it ended without a decision


def state_after(decision: Decision) -> ApprovalState:
    """Return the state a reviewer's decision leads to."""
    return S.DENIED if decision == "deny" else S.ALLOWED


def state_without_decision(reason: Reason) -> ApprovalState:
    """Return the state an end that nobody decided leads to."""
    (state,) = ENDED_BY[reason]
    return state


def judge(recorded: Decision | None, decision: Decision) -> Outcome:
    """Say what a decision means for an approval that has ended before it came."""
    if recorded is None:
        return Outcome.OVER
    return Outcome.REPEATED if recorded == decision else Outcome.CONFLICT


def allowed_decisions(
    *, ask: str | None, unavailable: Collection[str] = ()
) -> tuple[Decision, ...]:
    """Return what a reviewer may choose: no standing yes where each use shall be asked for."""
    withheld = {*unavailable, *(["allow-always"] if ask == "always" else [])} - {"deny"}
    return tuple(one for one in DECISIONS if one not in withheld)
