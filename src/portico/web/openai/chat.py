"""A run as a chat completion: whole, or in chunks.

Theory of operation: the chunks are a function of the run's steps. What the committed answer has
beyond the streamed deltas (a runtime may say its text only at the end) is sent before the last
chunk; so the pieces of a stream always make up the answer that `stream: false` would have given.

Thoughts go out as `reasoning_content`, as other servers of this API do. The agent's own tool calls
are shown to callers that ask with the header `x-portico-progress`: `tools` for chunks with
`portico_tool`, `reasoning` for lines among the thoughts, which chat front ends show as they are.

Source: OpenAI API reference, "Chat"; OpenClaw gateway protocol, "OpenAI-compatible".
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Literal

import msgspec

from portico.agents.runtime import (
    TextDelta,
    ThinkingDelta,
    ToolCallRequested,
    ToolFinished,
    ToolStarted,
    Usage,
)
from portico.turns.feed import Ended, Step
from portico.turns.model import ClientToolCall, TurnResult, TurnRow
from portico.web.connection import HEARTBEAT
from portico.web.messages.answer import reply_of
from portico.web.messages.progress import stage_of, tool_detail
from portico.web.openai.model import (
    AnswerMessage,
    CachedTokens,
    ChatChunk,
    ChatCompletion,
    ChatUsage,
    Choice,
    ChunkChoice,
    Delta,
    FinishReason,
    Function,
    FunctionDelta,
    ToolCall,
    ToolCallDelta,
    ToolProgress,
)
from portico.web.openai.problem import OpenAIError, OpenAIErrorBody, failure

DONE = b"data: [DONE]\n\n"
MAX_ARGUMENTS = 256  # characters of a call's arguments in one chunk

ProgressStyle = Literal["", "tools", "reasoning"]


class ChatAnswer:
    """Translates one run."""

    def __init__(
        self,
        run_id: str,
        *,
        created_s: int,
        model: str,
        include_usage: bool = False,
        progress: ProgressStyle = "",
    ) -> None:
        self._base = ChatChunk(
            id=run_id, object="chat.completion.chunk", created=created_s, model=model, choices=()
        )
        self._include_usage = include_usage
        self._progress = progress
        self._text = ""
        self._calls = 0
        self._lost = False

    def completion(self, row: TurnRow) -> ChatCompletion:
        """Return the whole answer of a run that succeeded."""
        result = row.result or TurnResult()
        calls = tuple(
            ToolCall(id=c.call_id, function=Function(name=c.name, arguments=arguments_of(c)))
            for c in result.requested
        )
        message = AnswerMessage(
            role="assistant", content=answer_text(row), tool_calls=calls or None
        )
        return ChatCompletion(
            id=self._base.id,
            created=self._base.created,
            model=self._base.model,
            choices=(Choice(message=message, finish_reason=finish_reason(result)),),
            usage=chat_usage(result.usage),
        )

    async def events(
        self, steps: AsyncGenerator[tuple[int, Step | None], None]
    ) -> AsyncGenerator[bytes, None]:
        """Yield the stream of a run."""
        yield self._chunk(Delta(role="assistant"))
        async with aclosing(steps):
            seen = 0
            async for number, step in steps:
                if step is None:
                    yield HEARTBEAT
                    continue
                self._lost |= number != seen + 1
                seen = number
                for chunk in self._translate(step):
                    yield chunk
        yield DONE

    def _translate(self, step: Step) -> Iterator[bytes]:
        match step:
            case TextDelta(text) if text:
                self._text += text
                yield self._chunk(Delta(content=text))
            case ThinkingDelta(text) if text:
                yield self._chunk(Delta(reasoning_content=text))
            case ToolStarted() | ToolFinished():
                yield from self._tool(step)
            case ToolCallRequested(call_id, name, arguments):
                yield from self._call(ClientToolCall(call_id, name, arguments))
            case Ended(row):
                yield from self._ended(row)
            case _:
                return

    def _tool(self, step: ToolStarted | ToolFinished) -> Iterator[bytes]:
        if self._progress == "tools":
            yield sse(msgspec.structs.replace(self._base, tool=_tool_progress(step)))
        elif self._progress == "reasoning" and isinstance(step, ToolStarted):
            _, summary = stage_of(step.name, step.arguments)
            hint = tool_detail(step.arguments)
            line = f"{summary}: {step.name}{f' ({hint})' if hint else ''}\n"
            yield self._chunk(Delta(reasoning_content=line))

    def _call(self, call: ClientToolCall) -> Iterator[bytes]:
        index, self._calls = self._calls, self._calls + 1
        head = FunctionDelta(name=call.name, arguments="")
        first = ToolCallDelta(index=index, id=call.call_id, type="function", function=head)
        yield self._chunk(Delta(tool_calls=(first,)))
        arguments = arguments_of(call)
        for start in range(0, len(arguments), MAX_ARGUMENTS):
            piece = FunctionDelta(arguments=arguments[start : start + MAX_ARGUMENTS])
            yield self._chunk(Delta(tool_calls=(ToolCallDelta(index=index, function=piece),)))

    def _ended(self, row: TurnRow) -> Iterator[bytes]:
        failed = failure(row)
        if failed is not None:
            yield error_event(failed[1])
            return
        result = row.result or TurnResult()
        rest = unsaid(self._text, answer_text(row), lost=self._lost)
        if rest is None:
            yield error_event(FELL_BEHIND)
            return
        if rest:
            yield self._chunk(Delta(content=rest))
        for call in result.requested[self._calls :]:
            yield from self._call(call)
        yield self._chunk(Delta(), finish_reason(result))
        if self._include_usage:
            yield sse(msgspec.structs.replace(self._base, usage=chat_usage(result.usage)))

    def _chunk(self, delta: Delta, finish: FinishReason | None = None) -> bytes:
        choice = ChunkChoice(delta=delta, finish_reason=finish)
        return sse(msgspec.structs.replace(self._base, choices=(choice,)))


def _tool_progress(step: ToolStarted | ToolFinished) -> ToolProgress:
    if isinstance(step, ToolStarted):
        hint = tool_detail(step.arguments)
        return ToolProgress(id=step.call_id, name=step.name, status="running", detail=hint)
    status: Literal["failed", "completed"] = "failed" if step.is_error else "completed"
    return ToolProgress(id=step.call_id, name=step.name, status=status)


FELL_BEHIND = OpenAIError(
    message="The stream fell behind and lost a part of the answer. The session has all of it.",
    type="api_error",
    code="stream_lost",
)


def answer_text(row: TurnRow) -> str | None:
    """Return the answer of a succeeded run; `None`: it is nothing but tool calls."""
    if row.result is not None and row.result.requested and not (row.result.text or "").strip():
        return None
    text = (row.result.text or "") if row.result else ""
    return text if text.strip() else reply_of(row)


def unsaid(said: str, answer: str | None, *, lost: bool) -> str | None:
    """Return what the answer has beyond what was streamed; `None`: what was streamed has a hole.

    An answer that a runtime put in other words at its end cannot be taken back: what was streamed
    stands.

    Args:
        lost: steps were missed on the way.
    """
    if answer is None or answer.startswith(said):
        return (answer or "")[len(said) :]
    return None if lost else ""


def arguments_of(call: ClientToolCall) -> str:
    """Return a call's arguments as the JSON text this API has them in."""
    return msgspec.json.encode(call.arguments).decode()


def finish_reason(result: TurnResult) -> FinishReason:
    """Return why an answer ends."""
    if result.requested:
        return "tool_calls"
    return "length" if result.stop_reason == "length" else "stop"


def chat_usage(usage: Usage) -> ChatUsage:
    """Return the tokens of a run."""
    prompt = usage.input + usage.cache_read + usage.cache_write
    return ChatUsage(
        prompt_tokens=prompt,
        completion_tokens=usage.output,
        total_tokens=prompt + usage.output,
        prompt_tokens_details=CachedTokens(cached_tokens=usage.cache_read),
    )


def sse(body: msgspec.Struct) -> bytes:
    """Return a body as an event without a name."""
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def error_event(error: OpenAIError) -> bytes:
    """Return a failure in the middle of a stream."""
    return sse(OpenAIErrorBody(error=error))
