"""What a run came to: from the turn that ended to what is recorded, delivered and counted.

Pure functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from portico.automation.cron.life import RunEnd
from portico.automation.cron.model import DeliveryStatus
from portico.automation.cron.store import Run
from portico.outbox.life import DeliveryState
from portico.outbox.store import Delivery
from portico.turns.life import TurnState
from portico.turns.model import TurnRow

SUMMARY_CHARS = 4_000
ERROR_CHARS = 2_000
SILENT = frozenset({"NO_REPLY", "HEARTBEAT_OK"})
"""Answers that say there is nothing to say."""

_REASONS = {
    "rate_limit": "rate_limit",
    "timeout": "timeout",
    "context_length": "context_overflow",
    "refusal": "unclassified",
}
# Ends that say nothing about the job: a person stopped the run, or the gateway did.
_NOT_ITS_FAULT = frozenset({TurnState.CANCELLED, TurnState.INTERRUPTED})
_DELIVERED: dict[DeliveryState, DeliveryStatus] = {
    DeliveryState.SENT: "delivered",
    DeliveryState.FAILED: "not-delivered",
    DeliveryState.EXPIRED: "not-delivered",
    DeliveryState.DISCARDED: "not-delivered",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run whose turn has ended.

    Attributes:
        run: the run with everything the turn says of it.
        text: what is to be delivered; `None`: nothing.
        counts: a failure counts against the job.
    """

    run: Run
    text: str | None
    counts: bool


def outcome_of(run: Run, turn: TurnRow | None, *, now: int) -> Outcome:
    """Judge a run by its turn; `None`: nobody knows the turn any more."""
    if turn is None:
        return _failed(run, "the record of the run is gone", now=now)
    result = turn.result
    if result is not None:
        run = msgspec.structs.replace(
            run,
            session_id=turn.session_id,
            summary=(result.text or "")[:SUMMARY_CHARS] or None,
            model=result.model,
            provider=result.provider,
            input_tokens=result.usage.input,
            output_tokens=result.usage.output,
        )
    ended_at = turn.ended_at or now
    if turn.state is TurnState.SUCCEEDED:
        if result is not None and result.is_quiet:
            done = msgspec.structs.replace(
                run, status="ok", ended_at=ended_at, suppressed="heartbeat"
            )
            return Outcome(done, None, counts=True)
        return _succeeded(run, (result.text if result else None) or "", now=ended_at)
    error = (result.error if result else None) or f"the run was {turn.state.value}"
    reason = _REASONS.get((result.error_kind if result else None) or "", "unknown")
    if turn.state is TurnState.TIMED_OUT:
        reason = "timeout"
    counts = run.cause == "schedule" and turn.state not in _NOT_ITS_FAULT
    return _failed(run, error, now=ended_at, reason=reason, counts=counts)


def _succeeded(run: Run, text: str, *, now: int) -> Outcome:
    suppressed = None
    if run.route is not None and not text.strip():
        suppressed = "empty"
    elif text.strip() in SILENT:
        suppressed = "silent"
    done = msgspec.structs.replace(run, status="ok", ended_at=now, suppressed=suppressed)
    deliver = run.route is not None and suppressed is None
    return Outcome(done, text if deliver else None, counts=True)


def _failed(
    run: Run, error: str, *, now: int, reason: str = "unknown", counts: bool = True
) -> Outcome:
    done = msgspec.structs.replace(
        run, status="error", error=error[:ERROR_CHARS], error_reason=reason, ended_at=now
    )
    return Outcome(done, None, counts)


def with_delivery(run: Run, delivery: Delivery | None) -> Run:
    """Return the run with what is known of its delivery."""
    if run.delivery_id is None:
        return msgspec.structs.replace(run, delivery_status="not-requested")
    status = _DELIVERED.get(delivery.state, "unknown") if delivery else "unknown"
    error = None if delivery is None or status == "delivered" else delivery.last_error
    return msgspec.structs.replace(run, delivery_status=status, delivery_error=error)


def end_of(run: Run, *, counts: bool) -> RunEnd:
    """Return what a finished run means for its job."""
    return RunEnd(
        status=run.status or "error",
        started_at=run.started_at,
        ended_at=run.ended_at or run.started_at,
        error=run.error,
        counts=counts,
        delivery_status=run.delivery_status or "not-requested",
        delivery_error=run.delivery_error,
        completion=run.completion,
    )
