"""From runtime events to `agent` and `chat` events on the hub.

Guarantees: live text is coalesced: the first delta goes out at once, the rest at most every
`live_text_ms`; whatever was held back goes out before the final event. What a tool says while it
runs is shown the same way, the end of it, until its result. Final events are never
droppable, and are published only after the turn's end is committed. Of an answer that may turn out
to be quiet nothing is shown before.

Source: OpenClaw gateway protocol, "`agent` event" and "`chat` event".
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec

from portico.agents.runtime import (
    AgentEvent,
    ModelUsed,
    Progress,
    TextDelta,
    ThinkingDelta,
    ToolFinished,
    ToolStarted,
)
from portico.clock import Clock
from portico.events.hub import Hub
from portico.turns import background
from portico.turns.life import TurnState
from portico.turns.model import TurnResult, TurnRow

MAX_TOOL_CHARS = 8_000
TOOL_PAUSE_S = 0.25
"""Each time all of it is sent: seldom enough that it costs little."""
# The protocol's error kinds have none for a budget; `stopReason` says it.
_KINDS = {"budget": "rate_limit"}


def assistant_message(text: str, timestamp_ms: int) -> dict[str, Any]:
    """Return an assistant message in the shape the wire shows."""
    return {
        "role": "assistant",
        "content": [{"type": "text", "text": text}],
        "timestamp": timestamp_ms,
    }


@dataclass(slots=True, eq=False)
class _Saying:
    """What one tool says."""

    name: str
    text: str = ""
    shown: str = ""
    timer: asyncio.TimerHandle | None = None


class RunPublisher:
    """Publishes one run."""

    def __init__(self, hub: Hub, clock: Clock, row: TurnRow, *, live_text_ms: int) -> None:
        self._hub = hub
        self._clock = clock
        self._row = row
        self._interval_s = live_text_ms / 1000
        self._seq = 0
        self._text = ""
        self._sent = 0
        self._thinking = ""
        self._timer: asyncio.TimerHandle | None = None
        self._tools: dict[str, _Saying] = {}
        self._may_be_quiet = row.request.quiet is not None

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._text

    @property
    def shown(self) -> str:
        """What of the answer has been shown, or will be in a moment."""
        return "" if self._may_be_quiet else self._text

    def started(self) -> None:
        """The run begins."""
        started_at = self._row.started_at
        self._task(self._row)
        self._agent("lifecycle", {"phase": "start", "startedAt": started_at}, session=True)
        if not self._may_be_quiet:
            self._chat("status", {"phase": "starting_model"})

    def event(self, event: AgentEvent) -> None:
        """Publish what a runtime yielded."""
        match event:
            case TextDelta(text):
                self._text += text
                self._flush_or_wait()
            case ThinkingDelta(text):
                self._thinking += text
                self._agent("thinking", {"text": self._thinking, "delta": text})
            case Progress(stage, summary):
                self._agent("run_status", {"phase": stage, "summary": summary})
            case ToolStarted():
                self._flush()
                self._tools[event.call_id] = _Saying(event.name)
                data = {"phase": "start", "toolCallId": event.call_id, "name": event.name}
                self._tool({**data, "args": event.arguments})
            case ToolFinished():
                self._tool_ends(event.call_id)
                data = {"phase": "result", "toolCallId": event.call_id, "name": event.name}
                self._tool({**data, "result": event.result, "isError": event.is_error})
            case ModelUsed(usage, provider, model):
                self._agent("lifecycle", {"phase": "model", "provider": provider, "model": model})
                self._agent("usage", {"outputTokens": usage.output, "inputTokens": usage.input})
            case _:
                return

    def tool_says(self, call_id: str, said: str) -> None:
        """Show what a tool says while it runs: the first piece at once, the rest bundled."""
        saying = self._tools.get(call_id)
        if saying is None:
            return
        saying.text = (saying.text + said)[-MAX_TOOL_CHARS:]
        if saying.timer is None:
            self._show_tool(call_id, saying)

    def _show_tool(self, call_id: str, saying: _Saying) -> None:
        saying.timer = None
        if saying.text == saying.shown:
            return
        saying.shown = saying.text
        content = [{"type": "text", "text": saying.text}]
        data = {"phase": "update", "toolCallId": call_id, "name": saying.name}
        self._tool({**data, "partialResult": {"content": content}})
        loop = asyncio.get_running_loop()
        wait_s = max(self._interval_s, TOOL_PAUSE_S)
        saying.timer = loop.call_later(wait_s, self._show_tool, call_id, saying)

    def _tool_ends(self, call_id: str) -> None:
        saying = self._tools.pop(call_id, None)
        if saying is not None and saying.timer is not None:
            saying.timer.cancel()

    def ended(self, state: TurnState, result: TurnResult, ended_at: int) -> None:
        """Publish the end of a run. Call it after the end is committed."""
        self._flush()
        row = self._row
        self._task(msgspec.structs.replace(row, state=state, result=result, ended_at=ended_at))
        self._tools_end()
        data: dict[str, Any] = {
            "startedAt": self._row.started_at,
            "endedAt": ended_at,
            "aborted": state is TurnState.CANCELLED,
            "stopReason": result.stop_reason,
        }
        if state is TurnState.SUCCEEDED:
            self._agent("lifecycle", {"phase": "end", **data}, session=True)
            usage = {"input": result.usage.input, "output": result.usage.output}
            shown = None if result.is_quiet else result.text
            self._last("final", shown, ended_at, stopReason=result.stop_reason, usage=usage)
        elif state is TurnState.MERGED:  # the run it became part of answers
            self._last("final", None, ended_at, stopReason=state.value)
        elif state is TurnState.CANCELLED:
            self._agent("lifecycle", {"phase": "end", "status": "cancelled", **data}, session=True)
            self._last("aborted", result.text, ended_at, stopReason=result.stop_reason)
        else:
            self._agent(
                "lifecycle", {"phase": "error", "error": result.error, **data}, session=True
            )
            self._last(
                "error",
                result.text,
                ended_at,
                errorMessage=result.error,
                errorKind=_KINDS.get(result.error_kind or "", result.error_kind) or "unknown",
                stopReason=result.stop_reason,
            )

    def merged(self, row: TurnRow, now_ms: int) -> None:
        """Publish that another run became part of this one."""
        other = RunPublisher(self._hub, self._clock, row, live_text_ms=0)
        other.ended(TurnState.MERGED, TurnResult(), now_ms)

    def stop(self) -> None:
        """Publish nothing more, not even text that was held back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tools_end()

    def _tools_end(self) -> None:
        for call_id in list(self._tools):
            self._tool_ends(call_id)

    def _last(self, state: str, text: str | None, ended_at: int, **fields: Any) -> None:
        message = assistant_message(text, ended_at) if text else None
        present = {name: value for name, value in fields.items() if value is not None}
        if message is not None:
            present["message"] = message
        self._chat(state, present, droppable=False)

    def _flush_or_wait(self) -> None:
        if self._timer is not None:
            return
        if self._sent == 0:
            self._flush()
        else:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._interval_s, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._flush()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        delta = self._text[self._sent :]
        if not delta or self._may_be_quiet:  # only its end says whether it is shown
            return
        self._sent = len(self._text)
        self._agent("assistant", {"text": self._text, "delta": delta})
        message = assistant_message(self._text, self._clock.now_ms())
        self._chat("delta", {"deltaText": delta, "message": message})

    def _agent(self, stream: str, data: dict[str, Any], *, session: bool = False) -> None:
        self._seq += 1
        self._hub.publish(
            "agent",
            self._agent_payload(stream, data, session=session),
            session_key=self._row.session_key,
        )

    def _agent_payload(self, stream: str, data: dict[str, Any], *, session: bool) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "runId": self._row.run_id,
            "sessionKey": self._row.session_key,
            "agentId": self._row.agent_id,
            "stream": stream,
            "data": data,
            "seq": self._seq,
            "ts": self._clock.now_ms(),
        }
        if self._may_be_quiet:
            payload["isHeartbeat"] = True
        if session:
            payload["sessionId"] = self._row.session_id
        return payload

    def _tool(self, data: dict[str, Any]) -> None:
        self._seq += 1
        payload = self._agent_payload("tool", data, session=False)
        key = self._row.session_key
        self._hub.publish("agent", payload, session_key=key, tool=True, droppable=False)
        self._hub.publish("session.tool", payload, session_key=key)

    def _task(self, row: TurnRow) -> None:
        if row.task is not None:
            payload = {"action": "upserted", "task": background.as_wire(row)}
            self._hub.publish("task", payload, session_key=row.session_key)

    def _chat(self, state: str, fields: dict[str, Any], *, droppable: bool = True) -> None:
        payload = {
            "runId": self._row.run_id,
            "sessionKey": self._row.session_key,
            "agentId": self._row.agent_id,
            "seq": self._seq,
            "state": state,
            **fields,
        }
        self._hub.publish("chat", payload, session_key=self._row.session_key, droppable=droppable)
