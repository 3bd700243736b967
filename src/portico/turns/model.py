"""Turns as the rest of the house sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from portico.agents.runtime import TurnRequest, Usage
from portico.channels.model import DropPolicy, QueueMode, ReplyRoute
from portico.store import Row
from portico.turns.life import OPEN, TurnState

TaskKind = Literal["cron", "subagent", "cli"]
"""Work nobody waits for: a job's, another agent's, or a program's that runs an agent."""


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """Numbers the path keeps to; times in the unit of their name."""

    max_concurrent: int = 64
    lease_s: float = 30.0
    sweep_s: float = 5.0
    live_text_ms: int = 75


@dataclass(frozen=True, slots=True)
class Owner:
    """In whose name this process runs turns, and for how long it holds one without renewal."""

    name: str
    lease_s: float

    def lease_until(self, now: int) -> int:
        """Return when a lease ends that is taken or renewed now."""
        return now + int(self.lease_s * 1000)


class ToolUse(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One tool call of a run, as it is kept in the transcript."""

    call_id: str
    name: str
    arguments: dict[str, Any]
    result: Any = None
    is_error: bool = False
    is_untrusted: bool = False


class ClientToolCall(msgspec.Struct, frozen=True, rename="camel"):
    """A tool call that the caller of the turn was asked to make."""

    call_id: str
    name: str
    arguments: dict[str, Any]


class TurnResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a turn ended.

    Attributes:
        text: the answer, or what there was of it; `None`: nothing to show.
        requested: tools the caller was asked to run; their results come as the next turn.
        tools: how often each tool was called.
        error: a sentence for the person, when there is no answer; never internal text.
        is_quiet: the answer says that there is nothing to say, and was shown to nobody.
    """

    text: str | None = None
    stop_reason: str | None = None
    usage: Usage = Usage()
    calls: int = 0
    tools: dict[str, int] = msgspec.field(default_factory=dict)
    provider: str | None = None
    model: str | None = None
    error: str | None = None
    error_kind: str | None = None
    message_seq: int | None = None
    entry_id: str | None = None
    is_quiet: bool = False
    requested: tuple[ClientToolCall, ...] = ()


class TurnRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the turns table.

    Attributes:
        result: how it ended; while it runs, only where its message is in the transcript.
        task: what kind of work nobody waits for it is, `None`: somebody waits for its answer.
        asked_by: the session whose agent asked for it, where one did.
        merged: the runs that were collected into this one by the claim that returned it.
    """

    run_id: str
    session_key: str
    session_id: str | None
    agent_id: str
    position: int
    state: TurnState
    queue_mode: QueueMode
    fingerprint: str
    request: TurnRequest
    reply_route: ReplyRoute
    owner: str | None
    fence: int
    attempts: int
    unsafe: bool
    cancel_reason: str | None
    merged_into: str | None
    result: TurnResult | None
    lease_until: int | None
    queued_at: int
    started_at: int | None
    ended_at: int | None
    task: TaskKind | None = None
    asked_by: str | None = None
    merged: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it waits or runs."""
        return self.state in OPEN


_request_decoder = msgspec.json.Decoder(TurnRequest)
_route_decoder = msgspec.json.Decoder(ReplyRoute)
_result_decoder = msgspec.json.Decoder(TurnResult)


def turn_from_row(row: Row) -> TurnRow:
    """Read a full turns row."""
    return TurnRow(
        run_id=row["run_id"],
        session_key=row["session_key"],
        session_id=row["session_id"],
        agent_id=row["agent_id"],
        position=row["position"],
        state=TurnState(row["state"]),
        queue_mode=row["queue_mode"],
        fingerprint=row["fingerprint"],
        request=_request_decoder.decode(row["request"]),
        reply_route=_route_decoder.decode(row["reply_route"]),
        owner=row["owner"],
        fence=row["fence"],
        attempts=row["attempts"],
        unsafe=bool(row["unsafe"]),
        cancel_reason=row["cancel_reason"],
        merged_into=row["merged_into"],
        result=None if row["result"] is None else _result_decoder.decode(row["result"]),
        lease_until=row["lease_until"],
        queued_at=row["queued_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        task=row["task"],
        asked_by=row["asked_by"],
    )


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A turn to put into its lane.

    Attributes:
        fingerprint: of everything that was asked; tells a repeat from a reused run id.
        cap: how many may wait in the lane; `drop` says what happens to one more.
        expires_at: when waiting ends, in ms; `None`: never.
        task, asked_by: see `TurnRow`.
    """

    run_id: str
    session_key: str
    agent_id: str
    request: TurnRequest
    reply_route: ReplyRoute
    fingerprint: str
    queue_mode: QueueMode
    cap: int
    drop: DropPolicy
    expires_at: int | None = None
    task: TaskKind | None = None
    asked_by: str | None = None


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What became of a new turn.

    Attributes:
        claimed: it is running already: the caller must hand it to `Turns.begin`.
        waiting: how many turns wait in the lane, this one included.
        running: the run that is active in the lane, if another is.
        dropped: run ids that were pushed out.
    """

    row: TurnRow
    claimed: bool
    waiting: int
    running: str | None
    dropped: tuple[str, ...] = ()
