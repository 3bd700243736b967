"""A model provider on a real socket: OpenAI's chat completions and embeddings, and misbehaviour.

    async with FakeProvider() as provider:
        provider.plan(Say("Hello"), Refuse(429, retry_after="1"), Stall("Hel"))

Each request takes the next reply of the plan; when the plan is empty, `default` answers.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass
class Say:
    """Stream a text, word by word unless in pieces; tools are called after it."""

    text: str = ""
    thinking: str = ""
    calls: tuple[tuple[str, str], ...] = ()  # name and arguments as JSON text
    usage: Mapping[str, Any] | None = field(
        default_factory=lambda: {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    )
    finish: str | None = None
    pieces: tuple[str, ...] = ()
    pause_s: float = 0.0
    until: asyncio.Event | None = None  # what its end waits for

    def chunks(self) -> list[dict[str, Any]]:
        pieces = self.pieces or tuple(_words(self.text))
        made: list[dict[str, Any]] = [{"reasoning_content": self.thinking}] if self.thinking else []
        made += [{"content": piece} for piece in pieces]
        for index, (name, arguments) in enumerate(self.calls):
            half = len(arguments) // 2
            head = {"index": index, "id": f"call_{name}_{index}", "type": "function"}
            made.append({"tool_calls": [{**head, "function": {"name": name, "arguments": ""}}]})
            for part in (arguments[:half], arguments[half:]):
                made.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
        return made

    @property
    def stop(self) -> str:
        return self.finish or ("tool_calls" if self.calls else "stop")


@dataclass
class Refuse:
    """Answer with an error."""

    status: int
    body: str = '{"error": {"message": "planned", "type": "planned", "code": null}}'
    retry_after: str | None = None


@dataclass
class Stall:
    """Say something, then nothing, until the caller goes away; no headers at all when `mute`."""

    text: str = ""
    mute: bool = False


@dataclass
class Reset:
    """Say something, then reset the connection."""

    text: str = ""


@dataclass
class Raw:
    """Stream these very bytes, then close; `cut` leaves the chunked encoding open."""

    parts: tuple[bytes, ...]
    cut: bool = False
    content_type: str = "text/event-stream"


@dataclass
class Wire:
    """Send these very bytes, status line and headers included, then close or reset."""

    content: bytes
    reset: bool = False


Reply = Say | Refuse | Stall | Reset | Raw | Wire


class FakeProvider:
    """The server."""

    def __init__(self, default: Callable[[dict[str, Any]], Reply] | None = None) -> None:
        self.default = default or (lambda _request: Say("Hello from the model."))
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.abandoned = 0
        self._plan: deque[Reply] = deque()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    def plan(self, *replies: Reply) -> None:
        self._plan.extend(replies)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._exchange(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.abandoned += 1
        except asyncio.CancelledError:
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = json.loads(body) if body else {}
        self.requests.append(request)
        self.headers.append({**headers, ":path": head[0].split(" ")[1]})
        reply = self._plan.popleft() if self._plan else self.default(request)
        await self._reply(reply, request, reader, writer)

    async def _reply(
        self,
        reply: Reply,
        request: dict[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        match reply:
            case Refuse():
                after = f"Retry-After: {reply.retry_after}\r\n" if reply.retry_after else ""
                _whole(writer, reply.status, reply.body, after)
            case Say() if "input" in request and "messages" not in request:
                _whole(writer, 200, json.dumps(_embeddings(request)))
            case Say() if not request.get("stream"):
                _whole(writer, 200, json.dumps(_completion(reply, request)))
            case Say():
                await self._stream(reply, request, writer)
            case Stall():
                if not reply.mute:
                    _begin(writer)
                    _text(writer, reply.text, request)
                    await writer.drain()
                await reader.read()  # returns when the caller goes away
                self.abandoned += 1
            case Reset():
                _begin(writer)
                _text(writer, reply.text, request)
                await writer.drain()
                await _reset(writer)
            case Wire():
                writer.write(reply.content)
                await writer.drain()
                if reply.reset:
                    await _reset(writer)
            case Raw():
                _begin(writer, reply.content_type)
                for part in reply.parts:
                    _chunk(writer, part)
                    await writer.drain()
                    await asyncio.sleep(0.01)  # so that each part arrives by itself
                if not reply.cut:
                    writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _stream(
        self, reply: Say, request: dict[str, Any], writer: asyncio.StreamWriter
    ) -> None:
        _begin(writer)
        for delta in reply.chunks():
            _event(writer, _chunk_of(request, {"role": "assistant", **delta}))
            if reply.pause_s:
                await writer.drain()
                await asyncio.sleep(reply.pause_s)
        if reply.until is not None:
            await writer.drain()
            await reply.until.wait()
        _event(writer, _chunk_of(request, {}, finish=reply.stop))
        if reply.usage and (request.get("stream_options") or {}).get("include_usage"):
            _event(writer, {**_chunk_of(request, {}), "choices": [], "usage": dict(reply.usage)})
        _chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")


async def _reset(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.05)  # let the caller read it: a reset drops what is unread
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def sse(text: str, *, finish: str | None = None) -> bytes:
    """One event of a stream, as bytes, for `Raw`."""
    made = _chunk_of({"model": "m"}, {"content": text} if text else {}, finish=finish)
    return b"data: " + json.dumps(made, ensure_ascii=False).encode() + b"\n\n"


def _words(text: str) -> list[str]:
    words = text.split(" ") if text else []
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)]


def _begin(writer: asyncio.StreamWriter, content_type: str = "text/event-stream") -> None:
    writer.write(
        f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
    )


def _whole(writer: asyncio.StreamWriter, status: int, body: str, headers: str = "") -> None:
    content = body.encode()
    writer.write(
        f"HTTP/1.1 {status} Planned\r\nContent-Type: application/json\r\n{headers}"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode()
        + content
    )


def _chunk(writer: asyncio.StreamWriter, content: bytes) -> None:
    writer.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")


def _event(writer: asyncio.StreamWriter, payload: Mapping[str, Any]) -> None:
    _chunk(writer, f"data: {json.dumps(payload)}\n\n".encode())


def _text(writer: asyncio.StreamWriter, text: str, request: Mapping[str, Any]) -> None:
    for word in _words(text):
        _event(writer, _chunk_of(request, {"role": "assistant", "content": word}))


def _chunk_of(
    request: Mapping[str, Any], delta: Mapping[str, Any], *, finish: str | None = None
) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_800_000_000,
        "model": request.get("model", "m"),
        "choices": [{"index": 0, "delta": dict(delta), "finish_reason": finish}],
    }


def vector_of(text: str, size: int = 3) -> list[float]:
    """The vector of a text; exact as 32-bit floats."""
    return [len(text) / 8, *(float(ord(letter)) for letter in text.ljust(size)[: size - 1])]


def _embeddings(request: Mapping[str, Any]) -> dict[str, Any]:
    texts = [request["input"]] if isinstance(request["input"], str) else request["input"]
    vectors = [vector_of(text, request.get("dimensions") or 3) for text in texts]
    packed = request.get("encoding_format") == "base64"
    count = sum(len(text.split()) for text in texts)
    return {
        "object": "list",
        "model": request["model"],
        "data": [
            {"object": "embedding", "index": i, "embedding": _packed(v) if packed else v}
            for i, v in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": count, "total_tokens": count},
    }


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _completion(reply: Say, request: Mapping[str, Any]) -> dict[str, Any]:
    calls = [
        {
            "id": f"call_{name}_{index}",
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        for index, (name, arguments) in enumerate(reply.calls)
    ]
    text = "".join(reply.pieces) or reply.text
    message = {"role": "assistant", "content": text or None, "tool_calls": calls or None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_800_000_000,
        "model": request.get("model", "m"),
        "choices": [{"index": 0, "message": message, "finish_reason": reply.stop}],
        "usage": dict(reply.usage or {}),
    }
