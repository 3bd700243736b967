"""From a turn's row to what the API says about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from portico.agents.runtime import Usage
from portico.turns.life import TurnState
from portico.turns.model import TurnResult, TurnRow
from portico.web.messages.model import PromptDetails, TokenUsage
from portico.web.problem import ApiError

EMPTY_REPLY = "I didn't produce a visible reply. Please try again."
SESSION_ID = "sessionId"  # in the reply route's context: the id the caller knows the session by

_S = TurnState
# All of these are final: the same request gets the same answer, so none of them asks for a retry.
_FAILURES: dict[TurnState, tuple[int, str, str]] = {
    _S.FAILED: (500, "internal_error", "The agent failed."),
    _S.TIMED_OUT: (504, "timeout", "The agent did not finish in time."),
    _S.CANCELLED: (409, "canceled", "The request was canceled."),
    _S.INTERRUPTED: (500, "interrupted", "The gateway stopped while the agent was answering."),
    _S.DROPPED: (409, "dropped", "Too many messages were waiting; this one was dropped."),
    _S.EXPIRED: (504, "expired", "The request waited too long for its session and was given up."),
    _S.MERGED: (409, "merged", "The message became part of another request."),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A run without an answer, as HTTP sees it."""

    status: int
    error: ApiError


def reply_of(row: TurnRow) -> str:
    """Return the answer of a succeeded turn; never empty."""
    text = (row.result.text or "") if row.result else ""
    return text.strip() or EMPTY_REPLY


def failure_of(row: TurnRow) -> Failure | None:
    """Return why an ended turn has no answer; `None` when it has one or has not ended."""
    known = _FAILURES.get(row.state)
    if known is None:
        return None
    status, kind, message = known
    said = row.result.error if row.result else None
    if row.state is _S.FAILED and row.result is not None and row.result.error_kind == "budget":
        status, kind = 429, "budget_exhausted"
    if row.state in {_S.FAILED, _S.TIMED_OUT, _S.INTERRUPTED} and said:
        message = said  # a sentence for the person; the runner keeps internal text out of it
    return Failure(status, ApiError(kind, message))


def usage_of(result: TurnResult | None) -> TokenUsage | None:
    """Return the tokens of a run; `None` when no model reported any."""
    usage = result.usage if result else Usage()
    prompt = usage.input + usage.cache_read + usage.cache_write
    if not prompt and not usage.output:
        return None
    details = None
    if usage.cache_read or usage.cache_write:
        details = PromptDetails(
            cached_tokens=usage.cache_read,
            cache_creation_tokens=usage.cache_write,
            cache_read_tokens=usage.cache_read,
        )
    return TokenUsage(
        prompt_tokens=prompt,
        completion_tokens=usage.output,
        total_tokens=prompt + usage.output,
        prompt_tokens_details=details,
        last_prompt_tokens=usage.context,
    )


def session_id_of(row: TurnRow) -> str:
    """Return the id a caller of this API knows the turn's session by."""
    given: Any = row.reply_route.context.get(SESSION_ID)
    return given if isinstance(given, str) else row.session_key
