"""What the end of a run is made of: its result, its transcript, the one transaction.

Guarantees: `commit_end` writes the transcript, the turn's end, its delivery, what its budgets are
charged and the claim of the lane's next turn together, guarded by the fence; a turn whose session
was deleted meanwhile still ends.

Not here: when and how often it is tried (run.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from portico.agents.runtime import ContextCompacted, Failed, Final, Usage
from portico.budgets.model import Notice
from portico.channels.model import ReplyRoute
from portico.sessions import transcript
from portico.sessions.model import Entry
from portico.store import Work
from portico.turns import store as turn_store
from portico.turns.life import TurnState
from portico.turns.model import ClientToolCall, ToolUse, TurnResult, TurnRow


class Superseded(Exception):
    """The lease was lost: another owner has the turn, so this run must leave no trace."""


class Outbox(Protocol):
    """Where answers are put, inside the transaction that ends the turn."""

    def enqueue(
        self, route: ReplyRoute, text: str, *, run_id: str, session_key: str, now: int
    ) -> Work[bool]:
        """Insert a delivery; `False` when the route is read from the transcript instead."""
        ...

    def wake(self) -> None:
        """Something was committed."""
        ...


@dataclass(frozen=True, slots=True)
class Said:
    """Everything a run has to show for itself, frozen before it is written.

    Attributes:
        text: what the deltas said; a `Final` with a text of its own wins.
        cancelled_by: why it was cancelled, when it was.
        answers_untrusted: the message was written by somebody the operator does not vouch for.
    """

    text: str = ""
    final: Final | Failed | None = None
    tools: tuple[ToolUse, ...] = ()
    requested: tuple[ClientToolCall, ...] = ()
    usage: Usage = field(default_factory=Usage)
    model_calls: int = 0
    provider: str | None = None
    model: str | None = None
    compacted: ContextCompacted | None = None
    cancelled_by: str | None = None
    answers_untrusted: bool = False

    @property
    def is_untrusted(self) -> bool:
        """Whether text from outside may have gone into the answer."""
        final = isinstance(self.final, Final) and self.final.is_untrusted
        return final or self.answers_untrusted or any(tool.is_untrusted for tool in self.tools)

    def result(self, state: TurnState) -> TurnResult:
        """Return how the turn ended."""
        text, stop = self.text, "stop"
        error: str | None = None
        kind: str | None = None
        if isinstance(self.final, Final):
            text = self.text if self.final.text is None else self.final.text
            stop = self.final.stop_reason
        elif isinstance(self.final, Failed):
            error, kind = self.final.message, self.final.kind
            stop = "budget" if kind == "budget" else "error"
        if state is TurnState.CANCELLED:
            error, kind, stop = None, None, self.cancelled_by or "aborted"
        return TurnResult(
            text=text or None,
            stop_reason=stop,
            usage=self.usage,
            calls=self.model_calls,
            tools=dict(Counter(tool.name for tool in self.tools)),
            provider=self.provider,
            model=self.model,
            error=error,
            error_kind=kind,
            requested=self.requested if isinstance(self.final, Final) else (),
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """A committed end.

    Attributes:
        entry: the transcript entry of the answer, when there is one.
        notices: what the operator is to be told of budgets.
        delivers: whether something is now waiting in the outbox.
        following: the turn that follows in the lane, claimed by the same transaction.
    """

    row: TurnRow
    entry: Entry | None
    delivers: bool
    following: TurnRow | None
    notices: Sequence[Notice] = ()


def commit_end(
    row: TurnRow,
    state: TurnState,
    said: Said,
    *,
    outbox: Outbox,
    settle: Callable[[Usage], Work[Sequence[Notice]]],
    next_claim: Callable[[], Work[TurnRow | None]],
    now: int,
) -> Work[Ending]:
    """End a running turn.

    Args:
        settle: the work that charges what was used.

    Raises:
        Superseded: another owner has it; nothing is written.
    """
    result = said.result(state)
    if (yield from _is_quiet(row, state, result)):
        result = msgspec.structs.replace(result, is_quiet=True)
    was_unread = False
    if result.is_quiet and said.compacted is None:
        was_unread = yield from transcript.take_back(row.session_key, row.run_id)
        entry = None
    else:
        entry = yield from _write_transcript(row, state, said, result, now=now)
    if entry is not None:
        result = msgspec.structs.replace(result, message_seq=entry.seq, entry_id=entry.entry_id)
    if not (yield from turn_store.end(row, state, result, now=now)):
        raise Superseded
    if result.is_quiet and not was_unread:
        yield from transcript.mark_read(row.session_key)
    delivers = False
    say = result.text if state is TurnState.SUCCEEDED else result.error
    if say and not result.is_quiet:
        delivers = yield from outbox.enqueue(
            row.reply_route, say, run_id=row.run_id, session_key=row.session_key, now=now
        )
    notices = yield from settle(result.usage)
    following = yield from next_claim()
    ended = msgspec.structs.replace(
        row, state=state, result=result, ended_at=now, owner=None, lease_until=None
    )
    return Ending(ended, entry, delivers, following, notices)


def _is_quiet(row: TurnRow, state: TurnState, result: TurnResult) -> Work[bool]:
    quiet = row.request.quiet
    if quiet is None or state is not TurnState.SUCCEEDED or result.requested:
        return False
    if not quiet.hushes(result.text or ""):
        return False
    return not (yield from turn_store.taken(row.run_id))  # else it also answers somebody


def claim_nothing() -> Work[TurnRow | None]:
    """Leave the lane to others."""
    yield from ()
    return None


def _write_transcript(
    row: TurnRow, state: TurnState, said: Said, result: TurnResult, *, now: int
) -> Work[Entry | None]:
    try:
        if said.compacted is not None:
            yield from transcript.append_compaction(
                row.session_key,
                summary=said.compacted.summary,
                first_kept_seq=said.compacted.first_kept_seq,
                tokens_before=said.compacted.tokens_before,
                is_untrusted=said.compacted.is_untrusted,
                now=now,
                run_id=row.run_id,
            )
        if said.tools:
            yield from _append_calls(row, said, now=now)
        for tool in said.tools:
            yield from _append_tool(row, tool, now=now)
        if not result.text and not result.error and not result.requested:
            return None
        return (yield from _append_answer(row, state, said, result, now=now))
    except LookupError:  # the session was deleted while the turn ran
        return None


def _append_calls(row: TurnRow, said: Said, *, now: int) -> Work[Entry]:
    calls = [
        {"type": "toolCall", "id": tool.call_id, "name": tool.name, "arguments": tool.arguments}
        for tool in said.tools
    ]
    return (
        yield from transcript.append(
            row.session_key,
            role="assistant",
            content=calls,
            now=now,
            run_id=row.run_id,
            meta={"stopReason": "toolUse", **transcript.marked(is_untrusted=said.is_untrusted)},
        )
    )


def _append_tool(row: TurnRow, tool: ToolUse, *, now: int) -> Work[Entry]:
    return (
        yield from transcript.append(
            row.session_key,
            role="toolResult",
            content=_as_parts(tool.result),
            now=now,
            run_id=row.run_id,
            meta={
                "toolCallId": tool.call_id,
                "toolName": tool.name,
                "isError": tool.is_error,
                **transcript.marked(is_untrusted=tool.is_untrusted),
            },
        )
    )


def _as_parts(result: Any) -> list[Any]:
    if isinstance(result, list) and all(isinstance(p, dict) and "type" in p for p in result):
        return result
    text = result if isinstance(result, str) else msgspec.json.encode(result).decode()
    return [{"type": "text", "text": text}]


def _append_answer(
    row: TurnRow, state: TurnState, said: Said, result: TurnResult, *, now: int
) -> Work[Entry]:
    return (
        yield from transcript.append(
            row.session_key,
            role="assistant",
            content=_answer_parts(result),
            now=now,
            run_id=row.run_id,
            meta={
                "stopReason": result.stop_reason,
                "provider": result.provider,
                "model": result.model,
                "usage": {"input": result.usage.input, "output": result.usage.output},
                **({"errorMessage": result.error} if result.error else {}),
                **({"aborted": True} if state is TurnState.CANCELLED else {}),
                **transcript.marked(is_untrusted=said.is_untrusted),
            },
        )
    )


def _answer_parts(result: TurnResult) -> list[dict[str, Any]]:
    text = [{"type": "text", "text": result.text}] if result.text else []
    calls = [
        {"type": "toolCall", "id": call.call_id, "name": call.name, "arguments": call.arguments}
        for call in result.requested
    ]
    return [*text, *calls]
