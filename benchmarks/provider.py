"""A model provider that costs little: OpenAI's chat completions, said from memory.

The model `say-N` answers with N words. In a stream each word is a chunk of its own, a moment after
the one before, as models do: chunks that came together would cost whoever passes them on less.
"""

from __future__ import annotations

import asyncio
import json
import re
from functools import cache
from typing import Any

import uvloop

PAUSE_S = 0.002
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_MODEL = re.compile(rb'"model" *: *"([^"]*)"')
_STREAM = re.compile(rb'"stream" *: *true')


class Provider(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._rest = b""

    def connection_made(self, transport: Any) -> None:  # type: ignore[explicit-override]  # typing has it since 3.12
        """Keep the socket."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:  # type: ignore[explicit-override]  # typing has it since 3.12
        """Answer a request that is complete."""
        data = self._rest = self._rest + data
        head, end, body = data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self._rest = b""
        model = _MODEL.search(body)
        name = model[1].decode() if model else "say-1"
        if _STREAM.search(body):
            self._say(iter(streamed(name)))
        else:
            self._transport.write(whole(name))

    def _say(self, pieces: Any) -> None:
        piece = next(pieces, None)
        if piece is None or self._transport.is_closing():
            return
        self._transport.write(piece)
        asyncio.get_running_loop().call_later(PAUSE_S, self._say, pieces)


def _words(model: str) -> list[str]:
    return [f"word{number} " for number in range(int(model.rpartition("-")[2]))]


def _usage(model: str) -> dict[str, int]:
    count = len(_words(model))
    return {"prompt_tokens": 10, "completion_tokens": count, "total_tokens": 10 + count}


@cache
def whole(model: str) -> bytes:
    """The answer in one piece."""
    message = {"role": "assistant", "content": "".join(_words(model))}
    body = json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_800_000_000,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": _usage(model),
        }
    ).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@cache
def streamed(model: str) -> tuple[bytes, ...]:
    """The answer in pieces."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    first, *words = _words(model)
    pieces = [_chunk(model, {"role": "assistant", "content": first})]
    pieces += [_chunk(model, {"content": word}) for word in words]
    last = _chunk(model, {}, finish="stop") + _event(
        {**_base(model), "choices": [], "usage": _usage(model)}
    )
    return (head + pieces[0], *pieces[1:], last + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")


def _base(model: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_800_000_000,
        "model": model,
    }


def _chunk(model: str, delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _event({**_base(model), "choices": [choice]})


def _event(payload: dict[str, Any]) -> bytes:
    return _framed(b"data: " + json.dumps(payload).encode() + b"\n\n")


def _framed(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


async def main() -> None:
    """Serve until told to stop."""
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
