"""The `http` runtime: an external service answers turns that are posted to it.

The service gets `{messages: [{role, content, attachments?}], metadata: {…}}` with a bearer token,
and answers with JSON (`reply`, `content`, `message`, `text`, or OpenAI `choices`), with server-sent
events, with plain text, or with nothing: then it says its answer later, through the gateway
message API, and the turn ends without text.

Guarantees: a refused, broken or silent service ends the turn with a sentence to the person; what
the service sent is never shown as it is when it is an error.

Source: the ClawScale business runtime contract; OpenAI chat completions, streaming.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from portico.agents.files import said as said_in
from portico.agents.runtime import (
    Abilities,
    AgentEvent,
    Failed,
    Final,
    ModelUsed,
    TextDelta,
    Turn,
    Usage,
)
from portico.channels.model import Attachment

if TYPE_CHECKING:
    import httpx2

log = structlog.get_logger()

HISTORY = 50
SILENCE_S = 120.0
MAX_REPLY_CHARS = 1_000_000
_TEXT_KEYS = ("reply", "content", "message", "text", "output")
UNREACHABLE = "The service behind this agent could not be reached. Please try again later."
REFUSED = "The service behind this agent could not answer. The operator can find out why."
SILENT = "The service behind this agent did not answer in time."


class HttpRuntime:
    """Posts turns to a service.

    Args:
        silence_s: the longest time without a byte from the service.
    """

    name = "http"

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        silence_s: float = SILENCE_S,
        resumable: bool = False,
    ) -> None:
        self._url = url
        self._token = token
        self._silence_s = silence_s
        self.abilities = Abilities(resumable=resumable)
        self._client: httpx2.AsyncClient | None = None

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        """Answer with what the service says."""
        import httpx2

        body = await _body(turn)
        try:
            async with aclosing(self._exchange(turn, body)) as events:
                async for event in events:
                    yield event
        except (TimeoutError, httpx2.TimeoutException) as error:
            yield self._failed(turn, Failed(SILENT, "timeout"), error)
        except httpx2.HTTPError as error:
            yield self._failed(turn, Failed(UNREACHABLE), error)
        except (ValueError, RecursionError) as error:
            yield self._failed(turn, Failed(REFUSED), error)

    async def warm_up(self) -> None:
        """Make the client in a thread: reading the certificates takes a while."""
        await asyncio.to_thread(self._http)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _exchange(self, turn: Turn, body: dict[str, Any]) -> AsyncGenerator[AgentEvent, None]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        headers["Accept"] += ", text/event-stream, text/plain"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        content = msgspec.json.encode(body)
        async with self._http().stream(
            "POST", self._url, content=content, headers=headers
        ) as response:
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if not response.is_success:
                yield self._refused(turn, response.status_code)
            elif kind == "text/event-stream":
                async with aclosing(_streamed(response)) as events:
                    async for event in events:
                        yield event
            else:
                yield _whole(await _read(response), is_json=kind.endswith("json"))

    def _refused(self, turn: Turn, status: int) -> Failed:
        log.error("http_runtime.refused", url=self._url, run_id=turn.run_id, status=status)
        if status == 429:
            return Failed("The service behind this agent is busy. Try again soon.", "rate_limit")
        return Failed(UNREACHABLE if status >= 500 else REFUSED)

    def _failed(self, turn: Turn, failed: Failed, error: Exception) -> Failed:
        log.error("http_runtime.failed", url=self._url, run_id=turn.run_id, error=repr(error)[:500])
        return failed

    def _http(self) -> httpx2.AsyncClient:
        if self._client is None:
            import httpx2

            self._client = httpx2.AsyncClient(
                timeout=httpx2.Timeout(self._silence_s, connect=10.0), follow_redirects=False
            )
        return self._client


async def _body(turn: Turn) -> dict[str, Any]:
    request = turn.request
    earlier = request.prior or await turn.history(HISTORY)
    messages: list[dict[str, Any]] = [
        {"role": entry.role, "content": text}
        for entry in earlier
        if entry.role in {"user", "assistant"} and (text := said_in(entry.content))
    ]
    if request.system_prompt:
        messages.insert(0, {"role": "system", "content": request.system_prompt})
    if request.late_context:
        messages.append({"role": "system", "content": request.late_context})
    said: dict[str, Any] = {"role": "user", "content": request.text}
    if request.attachments:
        said["attachments"] = [await _attachment(turn, one) for one in request.attachments]
    if request.parts:
        said["parts"] = [await _part(turn, part) for part in request.parts]
    return {"messages": [*messages, said], "metadata": _metadata(turn)}


async def _attachment(turn: Turn, attachment: Attachment) -> Attachment:
    """Return an attachment with its content: the service has no store of ours."""
    if attachment.content or attachment.transcript is not None:
        return attachment
    found = await turn.load(attachment)
    content = None if found is None else base64.b64encode(found).decode()
    return msgspec.structs.replace(attachment, content=content, data=None)


async def _part(turn: Turn, part: dict[str, Any]) -> dict[str, Any]:
    sha256 = part.get("sha256")
    found = await turn.file(sha256) if isinstance(sha256, str) and "data" not in part else None
    return part if found is None else {**part, "data": base64.b64encode(found).decode()}


def _metadata(turn: Turn) -> dict[str, Any]:
    request = turn.request
    return {
        **request.extensions,
        "runId": turn.run_id,
        "agentId": turn.agent_id,
        "sessionKey": turn.session_key,
        "gatewayConversationId": turn.session_id,
        "inboundEventId": request.message_id or turn.run_id,
        "sender": request.sender,
        "senderName": request.sender_name,
        "attempt": turn.attempt,
    }


async def _read(response: httpx2.Response) -> str:
    pieces: list[str] = []
    size = 0
    async for piece in response.aiter_text():
        size += len(piece)
        if size > MAX_REPLY_CHARS:
            raise ValueError("the reply is too large")
        pieces.append(piece)
    return "".join(pieces)


def _whole(text: str, *, is_json: bool) -> AgentEvent:
    if not text.strip():
        return Final("")  # it will say its answer later
    if not is_json:
        return Final(text)
    reply = msgspec.json.decode(text)
    if isinstance(reply, dict) and (reply.get("ok") is False or reply.get("error")):
        raise ValueError(f"the service says: {str(reply.get('error'))[:300]}")
    return Final(_said(reply) or "")


async def _streamed(response: httpx2.Response) -> AsyncGenerator[AgentEvent, None]:
    size = 0
    async for line in response.aiter_lines():
        field, _, value = line.partition(":")
        if field != "data":
            continue
        data = value.strip()
        if data == "[DONE]":
            break
        size += len(data)
        if size > MAX_REPLY_CHARS:
            raise ValueError("the reply is too large")
        if data.startswith(("{", "[{")):
            decoded = msgspec.json.decode(data)
            chunk = decoded[0] if isinstance(decoded, list) else decoded  # LangGraph: with metadata
            if chunk.get("error"):
                raise ValueError(f"the service says: {str(chunk['error'])[:300]}")
            if usage := _usage(chunk):
                yield usage
            data = _said(chunk) or ""
        if data:
            yield TextDelta(data)
    yield Final()


def _said(reply: Any) -> str | None:
    """Return the text in a reply or a chunk of one."""
    if isinstance(reply, str):
        return reply
    if not isinstance(reply, Mapping):
        return None
    for choice in reply.get("choices") or ():
        if isinstance(choice, Mapping):
            return _said(choice.get("delta") or choice.get("message") or choice.get("text"))
    for key in (*_TEXT_KEYS, "data"):
        text = _said(reply.get(key))
        if text is not None:
            return text
    return None


def _usage(chunk: Mapping[str, Any]) -> ModelUsed | None:
    usage = chunk.get("usage")
    if not isinstance(usage, Mapping):
        return None
    prompt, said = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not (isinstance(prompt, int) and isinstance(said, int)):
        return None
    model = chunk.get("model")
    return ModelUsed(Usage(prompt, said, context=prompt), "http", str(model) if model else None)
