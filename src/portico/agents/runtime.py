"""The runtime contract: `run(turn)` yields events until the answer is complete.

Guarantees a runtime must keep: it yields exactly one `Final` or `Failed`, last; it may be cancelled
at any await; it keeps no state between turns but what it was constructed with. The path persists,
publishes and delivers; a runtime does none of these.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

from portico.channels.model import Attachment, ReplyRoute


class HistoryMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One transcript entry, as a runtime sees it: role and JSON content.

    Content is a string or parts: `{type: text, text}`, an assistant's `{type: toolCall, id, name,
    arguments}` of tools the caller runs itself, a user's `{type: toolResult, id, text}` with what
    they returned, and images, sounds and files as in a turn.

    Attributes:
        meta: what the transcript keeps beside it: of a tool call its name, arguments and result;
            of a compaction its summary; `untrusted`, of what holds text from outside.
        seq: its place in the transcript; 0 for what never was in one.
    """

    role: str
    content: Any
    meta: dict[str, Any] = msgspec.field(default_factory=dict)
    seq: int = 0

    @property
    def is_untrusted(self) -> bool:
        """Whether text from outside is in it."""
        return bool(self.meta.get("untrusted"))


class Quiet(msgspec.Struct, frozen=True):
    """How an answer says that there is nothing to say.

    An answer that begins or ends with the token, and has at most so many characters besides, is
    quiet: nothing of its turn stays in the conversation, and nobody is shown or sent anything.
    """

    token: str = "HEARTBEAT_OK"
    max_chars: int = 300

    def hushes(self, text: str) -> bool:
        """Whether an answer is quiet."""
        rest = self.without_token(text)
        return rest != text.strip() and len(rest) <= self.max_chars

    def without_token(self, text: str) -> str:
        """Return an answer without the token at its beginning or end and what surrounds it."""
        rest = text.strip()
        bare = rest.strip(_DECORATION)
        if bare.startswith(self.token):
            return bare.removeprefix(self.token).strip(_DECORATION)
        if bare.endswith(self.token):
            return bare.removesuffix(self.token).strip(_DECORATION)
        return rest


_DECORATION = " \n\t*_`\"'"


class TurnRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a turn is asked to do, as it is stored in its row.

    Attributes:
        parts: structured content; when there is text or a `toolResult` among it, it is the whole
            message in order, and `text` is the text in it.
        system_prompt: extra instructions for this turn only; never part of the transcript.
        late_context: context placed next to the newest user message; never stored in it.
        timeout_s: how long the run may take; `None`: the agent's default.
        extensions: whatever the caller attached, handed to the runtime as it came.
        prior: the conversation before this message as the caller tells it. A runtime uses it in
            place of the transcript; empty: the transcript is the memory.
        is_untrusted: the operator does not vouch for who wrote it.
        quiet: how the answer may say that there is nothing to say; `None`: it is always shown.
    """

    text: str
    parts: tuple[dict[str, Any], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    sender: str = ""
    sender_name: str | None = None
    system_prompt: str | None = None
    late_context: str | None = None
    model: str | None = None
    thinking: str | None = None
    timeout_s: float | None = None
    extensions: dict[str, Any] = msgspec.field(default_factory=dict)
    received_at_ms: int = 0
    message_id: str | None = None
    prior: tuple[HistoryMessage, ...] = ()
    is_untrusted: bool = False
    quiet: Quiet | None = None


async def _nothing_steered() -> None:
    return None


async def _no_file(_sha256: str) -> bytes | None:
    return None


ToolSays = Callable[[str, str], None]
"""Takes the id of a tool call and a piece of what the tool says while it runs."""


def nobody_follows(_call_id: str, _said: str) -> None:
    """Nobody watches the tools of a run."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One run, as handed to a runtime.

    Attributes:
        file: awaits the bytes that are kept under a hash; `None`: they are no longer kept.
        history: awaits the newest `limit` entries before this turn, oldest first.
        steering: awaits the next message sent into the running turn (queue mode `steer`).
        steered: the same, but `None` at once when there is none. What a run has not taken by its
            end is a turn of its own after it.
        attempt: 1 the first time; higher after a crash.
        origin: where the message came from and its answer goes.
        say: shows who follows the run what a tool says between its `ToolStarted` and its
            `ToolFinished`; nothing of it is kept.
    """

    run_id: str
    session_key: str
    session_id: str
    agent_id: str
    request: TurnRequest
    history: Callable[[int], Awaitable[list[HistoryMessage]]]
    steering: Callable[[], Awaitable[TurnRequest]]
    steered: Callable[[], Awaitable[TurnRequest | None]] = _nothing_steered
    attempt: int = 1
    origin: ReplyRoute | None = None
    file: Callable[[str], Awaitable[bytes | None]] = _no_file
    say: ToolSays = nobody_follows

    async def load(self, attachment: Attachment) -> bytes | None:
        """Return the bytes of an attachment; `None`: there are none, or they are gone."""
        if attachment.sha256 is not None and not attachment.has_bytes:
            return await self.file(attachment.sha256)
        return attachment.read()


class Usage(msgspec.Struct, frozen=True, rename="camel"):
    """Tokens of one or more model calls; `context` is the prompt size of the last one."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    context: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            other.context or self.context,
            self.cost_usd + other.cost_usd,
        )


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """More of the model's visible reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """What the run is doing now, in one word and one sentence."""

    stage: str
    summary: str


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call begins.

    Attributes:
        side_effects: the call changes something outside; from here on the turn is not resumed
            after a crash. The path commits that before the tool may act, so the runtime yields
            this first and acts when it is asked for its next event.
    """

    call_id: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    side_effects: bool = True


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call ended.

    Attributes:
        is_untrusted: the result may hold text from outside.
    """

    call_id: str
    name: str
    result: Any
    is_error: bool = False
    is_untrusted: bool = False


@dataclass(frozen=True, slots=True)
class ToolCallRequested:
    """The agent wants a tool that its caller runs: one of `extensions["openai.tools"]`.

    The turn ends after it, with `Final(stop_reason="toolUse")`; the tool's result comes back as the
    next turn, a part `{type: toolResult, id, text}`.
    """

    call_id: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContextCompacted:
    """The older part of the conversation was summarised; the path keeps it in the transcript.

    Attributes:
        first_kept_seq: the first transcript entry the summary does not cover.
        tokens_before: about how large what the agent remembered was.
        is_untrusted: it summarises text from outside, too.
    """

    summary: str
    first_kept_seq: int
    tokens_before: int = 0
    is_untrusted: bool = False


@dataclass(frozen=True, slots=True)
class ModelAnswering:
    """A model begins to answer; `ModelUsed` follows, unless the call is cut off.

    Attributes:
        so_far: what the call has used, as far as it can be known, given how many characters of its
            answer were yielded. Asked only when nothing else is known.
    """

    so_far: Callable[[int], Usage]
    provider: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class ModelUsed:
    """One model call was made."""

    usage: Usage
    provider: str | None = None
    model: str | None = None


StopReason = Literal["stop", "length", "toolUse"]


@dataclass(frozen=True, slots=True)
class Final:
    """The answer is complete.

    Attributes:
        text: the whole of it; `None`: what the deltas said.
        is_untrusted: text from outside went into it.
    """

    text: str | None = None
    stop_reason: StopReason = "stop"
    is_untrusted: bool = False


ErrorKind = Literal["refusal", "timeout", "rate_limit", "context_length", "budget", "unknown"]


@dataclass(frozen=True, slots=True)
class Failed:
    """There will be no answer. `message` is shown to the person; details stay in the log."""

    message: str
    kind: ErrorKind = "unknown"


AgentEvent: TypeAlias = (
    TextDelta
    | ThinkingDelta
    | Progress
    | ToolStarted
    | ToolFinished
    | ToolCallRequested
    | ContextCompacted
    | ModelAnswering
    | ModelUsed
    | Final
    | Failed
)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a runtime can promise.

    Attributes:
        resumable: running a turn again from its start, after a crash, does no harm.
        steerable: takes messages while it runs.
        is_metered: its answers may cost tokens, so that budgets reserve for them.
    """

    resumable: bool = False
    steerable: bool = False
    is_metered: bool = True


class AgentRuntime(Protocol):
    """Something that answers."""

    @property
    def name(self) -> str:
        """Shown as `agentRuntime.id`."""
        ...

    @property
    def abilities(self) -> Abilities:
        """What it promises."""
        ...

    def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        """Answer one turn."""
        ...


@dataclass(frozen=True, slots=True)
class Embedded:
    """Texts as vectors, one for each text, in order."""

    vectors: list[list[float]]
    usage: Usage = field(default_factory=Usage)


class EmbeddingRefused(Exception):
    """The texts cannot be embedded; the text says why and is fit for the caller.

    Args:
        kind: what failed; `not_available`: there is no model that could.
    """

    def __init__(
        self, message: str, *, kind: ErrorKind | Literal["not_available"] = "refusal"
    ) -> None:
        super().__init__(message)
        self.kind = kind


@runtime_checkable
class EmbeddingRuntime(Protocol):
    """What a runtime has besides, when it can embed."""

    async def embed(
        self, texts: Sequence[str], dimensions: int | None, *, model: str | None = None
    ) -> Embedded:
        """Return the vectors.

        Args:
            model: the model the caller wants in place of the configured one.

        Raises:
            EmbeddingRefused: the model cannot.
        """
        ...


@runtime_checkable
class Prepared(Protocol):
    """What a runtime has besides, when it must be prepared, or holds connections."""

    async def warm_up(self) -> None:
        """Import and open what an answer needs; never raises."""
        ...

    async def close(self) -> None:
        """Close what is open; safe to call twice."""
        ...


@runtime_checkable
class Compacting(Protocol):
    """What a runtime has besides, when it can summarise a conversation on demand."""

    def compact(self, turn: Turn) -> AsyncGenerator[AgentEvent, None]:
        """Yield the events of a compaction, `ContextCompacted` last; none: nothing to summarise.

        Raises:
            Exception: it failed; the text is for the operator.
        """
        ...
