"""From the steps of a run to the events of a stream.

Theory of operation: the translation is a pure function of the steps so far. A client that comes
back with the last event id it saw is served by translating from the first step again and leaving
out what it has. An event's id is `<step>.<n>`: the n-th event of the step.

Order: `run.queued` (only when it has to wait) → `run.started` → `run.progress` (preparing) →
progress, thoughts, deltas → `message.completed` → `run.completed`; or `run.error`; or
`run.canceled`. A message that is not for the assistant: `run.ignored` → `run.completed`.

Source: gateway message API, "Streaming".
"""

from __future__ import annotations

import msgspec

from portico.agents.runtime import (
    Progress,
    TextDelta,
    ThinkingDelta,
    ToolFinished,
    ToolStarted,
)
from portico.clock import Clock
from portico.turns.feed import Ended, Started, Step
from portico.turns.life import TurnState
from portico.turns.model import TurnRow
from portico.web.messages.answer import failure_of, reply_of, usage_of
from portico.web.messages.model import StreamEvent
from portico.web.messages.progress import stage_of, tool_detail

EventId = tuple[int, int]


def parse_event_id(text: str) -> EventId:
    """Return the position of a `Last-Event-ID`; (0, 0), the beginning, for anything else."""
    step, _, event = text.strip().partition(".")
    if step.isascii() and step.isdecimal() and event.isascii() and event.isdecimal():
        return int(step[:12]), int(event[:12])
    return 0, 0


def encode_event(event_id: EventId, event: StreamEvent) -> bytes:
    """Return one event in the SSE format."""
    data = msgspec.json.encode(event).decode()
    return f"event: {event.type}\ndata: {data}\nid: {event_id[0]}.{event_id[1]}\n\n".encode()


class RunEvents:
    """Translates one run's steps."""

    def __init__(
        self, *, session_id: str, request_id: str, clock: Clock, progress_after_text: bool
    ) -> None:
        self._base = StreamEvent(type="run.started", session_id=session_id, request_id=request_id)
        self._clock = clock
        self._progress_after_text = progress_after_text
        self._started_at = 0
        self._has_text = False
        self._thought = ""
        self._shown: StreamEvent | None = None

    def queued(self, position: int) -> StreamEvent:
        """The run waits for its session."""
        return self._event("run.queued", position=position)

    def translate(self, step: Step) -> list[StreamEvent]:  # noqa: PLR0911  # one per kind
        """Return the events of the next step."""
        match step:
            case Started(row):
                self._started_at = row.started_at or self._clock.now_ms()
                preparing = self._progress(stage="preparing", summary="Preparing request")
                return [self._event("run.started"), *preparing]
            case ThinkingDelta(text) | TextDelta(text) if not text:
                return []
            case ThinkingDelta(text):
                self._thought += text
                return [self._event("thought.delta", delta=text)]
            case TextDelta(text):
                self._has_text = True
                return [*self._thought_ends(), self._event("message.delta", delta=text)]
            case Progress(stage, summary):
                return self._progress(stage=stage, summary=summary)
            case ToolStarted():
                return [*self._thought_ends(), *self._tool_started(step)]
            case ToolFinished():
                return self._progress(
                    stage="summarizing",
                    summary="Preparing the answer",
                    tool_name=step.name,
                    tool_call_id=step.call_id,
                    tool_status="completed",
                )
            case Ended(row):
                return [*self._thought_ends(), *self._ended(row)]
            case _:
                return []

    def _tool_started(self, step: ToolStarted) -> list[StreamEvent]:
        stage, summary = stage_of(step.name, step.arguments)
        return self._progress(
            stage=stage,
            summary=summary,
            tool_name=step.name,
            tool_detail=tool_detail(step.arguments),
            tool_call_id=step.call_id,
            tool_status="running",
        )

    def _ended(self, row: TurnRow) -> list[StreamEvent]:
        failure = failure_of(row)
        if failure is None:
            usage = usage_of(row.result)
            return [
                self._event("message.completed", reply=reply_of(row), usage=usage),
                self._event("run.completed", usage=usage),
            ]
        if row.state is TurnState.CANCELLED:
            return [self._event("run.canceled")]
        return [self._event("run.error", error=failure.error)]

    def _thought_ends(self) -> list[StreamEvent]:
        thought, self._thought = self._thought, ""
        return [self._event("thought.completed", reply=thought)] if thought else []

    def _progress(self, **fields: object) -> list[StreamEvent]:
        if self._has_text and not self._progress_after_text:
            return []
        event = self._event("run.progress", **fields)
        if event == self._shown:
            return []
        self._shown = event
        elapsed_ms = max(0, self._clock.now_ms() - self._started_at)
        return [msgspec.structs.replace(event, elapsed_ms=elapsed_ms)]

    def _event(self, kind: str, **fields: object) -> StreamEvent:
        return msgspec.structs.replace(self._base, type=kind, **fields)
