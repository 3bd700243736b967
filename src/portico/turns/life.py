"""The life of a turn, as a table.

Theory of operation: a turn waits in its lane (`queued`), is claimed with a lease (`running`) and
ends exactly once. The only way back is `running → queued`: its owner died and the runtime can begin
again. A claim raises the fence; only the holder of the current fence may end the turn, so a paused
owner that wakes up after its lease was taken changes nothing.

No I/O here; `store.py` turns each transition into one guarded statement.
"""

from __future__ import annotations

from enum import StrEnum


class TurnState(StrEnum):
    """Where a turn is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"  # its owner died and it could not be resumed
    DROPPED = "dropped"  # pushed out of a full lane
    EXPIRED = "expired"  # waited longer than it may
    MERGED = "merged"  # became part of another turn (collect, steer)


S = TurnState

TRANSITIONS: dict[TurnState, frozenset[TurnState]] = {
    S.QUEUED: frozenset({S.RUNNING, S.CANCELLED, S.DROPPED, S.EXPIRED, S.MERGED}),
    S.RUNNING: frozenset(
        {S.SUCCEEDED, S.FAILED, S.TIMED_OUT, S.CANCELLED, S.INTERRUPTED, S.QUEUED}
    ),
}

OPEN = frozenset({S.QUEUED, S.RUNNING})
ENDED = frozenset(TurnState) - OPEN

MAX_ATTEMPTS = 3


def may_become(state: TurnState, next_state: TurnState) -> bool:
    """Whether the table allows the transition."""
    return next_state in TRANSITIONS.get(state, frozenset())


def after_owner_died(*, attempts: int, unsafe: bool, resumable: bool, cancelled: bool) -> TurnState:
    """Decide what becomes of a running turn whose owner is gone."""
    if cancelled:
        return S.CANCELLED
    if resumable and not unsafe and attempts < MAX_ATTEMPTS:
        return S.QUEUED
    return S.INTERRUPTED
