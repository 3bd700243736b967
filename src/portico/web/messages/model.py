"""The gateway message API on the wire. Names are snake_case, as documented.

Source: gateway message API, "Request JSON", "Response JSON", "Streaming", "Content parts".
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from portico.web.problem import ApiError

Stage = Literal[
    "preparing", "reading_document", "reading_spreadsheet", "running_tool", "summarizing"
]
EventType = Literal[
    "run.queued",
    "run.started",
    "run.ignored",
    "run.progress",
    "message.delta",
    "message.completed",
    "public.delta",
    "public.completed",
    "thought.delta",
    "thought.completed",
    "run.completed",
    "run.canceled",
    "run.error",
]


class Shape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the shapes below."""


class ImagePart(Shape, frozen=True, kw_only=True):
    """An image: a URL the model fetches, or its bytes with their format (`png`, `jpeg` …)."""

    url: str | None = None
    data: bytes | None = None
    format: str | None = None
    detail: str | None = None


class AudioPart(Shape, frozen=True, kw_only=True):
    """A sound: a URL the gateway fetches, or its bytes with their format (`wav`, `mp3`)."""

    url: str | None = None
    data: bytes | None = None
    format: str | None = None


class FilePart(Shape, frozen=True, kw_only=True):
    """A file or video: an id the runtime knows, a URL the gateway fetches, or bytes and a name.

    Attributes:
        format: the media type.
    """

    file_id: str | None = None
    url: str | None = None
    data: bytes | None = None
    filename: str | None = None
    format: str | None = None


class LocationPart(Shape, frozen=True, kw_only=True):
    """A place."""

    latitude: float = 0.0
    longitude: float = 0.0
    name: str | None = None


class LinkPart(Shape, frozen=True, kw_only=True):
    """A link."""

    url: str | None = None
    title: str | None = None


class ContentPart(Shape, frozen=True, kw_only=True):
    """One piece of a message; `type` says which of the others is set.

    Attributes:
        type: text, image, audio, voice, file, video, location or link. `voice` is in `audio`,
            `video` is in `file`.
    """

    type: str = ""
    text: str | None = None
    image: ImagePart | None = None
    audio: AudioPart | None = None
    file: FilePart | None = None
    location: LocationPart | None = None
    link: LinkPart | None = None


class StreamOptions(Shape, frozen=True, kw_only=True):
    """How a stream behaves.

    Attributes:
        progress_after_text_delta: send progress also after the answer has begun.
    """

    progress_after_text_delta: bool | None = None


class MessageRequest(Shape, frozen=True, kw_only=True):
    """One inbound message.

    Attributes:
        channel: where it comes from; default `http`.
        from_: who sent it.
        thread: the group or thread it belongs to.
        message_id: the sender's id of the message; the same one is not answered twice.
        text: comes before the content parts.
        request_system_prompt: extra instructions for this run.
        request_late_context_prompt: context next to the newest message; not kept.
        user_id: who it is for the allowlist; default `from`.
        session_id: instead of the derived one.
        request_id: the run's id, for status and cancel; the same one runs once.
        cancel_on_disconnect: cancel the run when this connection closes before the answer.
    """

    channel: str | None = None
    from_: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    thread: str | None = None
    message_id: str | None = None
    text: str | None = None
    content_parts: tuple[ContentPart, ...] | None = None
    request_system_prompt: str | None = None
    request_late_context_prompt: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    model: str | None = None
    extensions: dict[str, Any] | None = None
    stream_options: StreamOptions | None = None
    cancel_on_disconnect: bool | None = None


class PromptDetails(Shape, frozen=True, kw_only=True):
    """Where prompt tokens came from."""

    cached_tokens: int = 0
    cache_creation_tokens: int = 0
    cache_read_tokens: int = 0


class TokenUsage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens of all model calls of a run.

    Attributes:
        last_prompt_tokens: the prompt of the last call alone: how full the context is.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails | None = None
    last_prompt_tokens: int = 0


class MessageResponse(Shape, frozen=True, kw_only=True):
    """The answer to a message."""

    session_id: str | None = None
    request_id: str | None = None
    reply: str | None = None
    usage: TokenUsage | None = None
    ignored: bool = False
    error: ApiError | None = None


class StatusResponse(Shape, frozen=True, kw_only=True):
    """Where a request is. Times are milliseconds since 1970, UTC.

    Attributes:
        state: queued, running, succeeded, failed, timed_out, cancelled, interrupted (the gateway
            stopped and could not begin again), dropped, expired (waited too long) or merged.
        position: while queued: how many are ahead of it in its session.
        kept_until: while ended: at least until then the status can be asked for.
    """

    request_id: str
    session_id: str
    state: str
    position: int | None = None
    queued_at: int
    started_at: int | None = None
    ended_at: int | None = None
    kept_until: int | None = None
    reply: str | None = None
    usage: TokenUsage | None = None
    error: ApiError | None = None


class CancelRequest(Shape, frozen=True, kw_only=True):
    """What to cancel: one request, or everything that waits and runs in a session."""

    request_id: str | None = None
    session_id: str | None = None


class CancelResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether something was cancelled.

    Attributes:
        state: where the request is now; absent for unknown ones and for sessions.
        request_ids: what was cancelled in a session.
    """

    canceled: bool
    state: str | None = None
    request_ids: tuple[str, ...] | None = None


class StreamEvent(Shape, frozen=True, kw_only=True):
    """One event of a stream."""

    type: EventType
    session_id: str | None = None
    request_id: str | None = None
    position: int | None = None
    delta: str | None = None
    reply: str | None = None
    stage: str | None = None
    summary: str | None = None
    tool_name: str | None = None
    tool_detail: str | None = None
    tool_call_id: str | None = None
    tool_status: Literal["running", "completed"] | None = None
    elapsed_ms: int | None = None
    usage: TokenUsage | None = None
    ignored: bool = False
    error: ApiError | None = None
