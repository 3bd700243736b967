"""Streamed answers of the three model APIs, event by event, and the ways HTTP frames them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

Framing = Literal["chunked", "length", "close"]
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"


def event(payload: Any, name: str | None = None) -> bytes:
    """One server-sent event; text stays UTF-8, so that a character can be cut in two."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(payload, ensure_ascii=False)}\n\n".encode()


def chat(*texts: str, finish: str | None = "stop", **delta: Any) -> list[bytes]:
    """OpenAI chat completions: a chunk for each text, one for the end, `[DONE]`.

    Args:
        finish: the reason; `None`: the stream ends without one.
        delta: what else the last chunk has.
    """
    chunks = [chat_chunk({"role": "assistant", "content": text}) for text in texts]
    if finish is not None:
        chunks.append(chat_chunk(delta, finish))
    return [*chunks, b"data: [DONE]\n\n"]


def chat_chunk(delta: Any, finish: str | None = None, **fields: Any) -> bytes:
    """One chunk of a chat completion."""
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return event({**head, "choices": choices, **fields})


def responses(*texts: str, status: str = "completed", reason: str | None = None) -> list[bytes]:
    """OpenAI responses: created, the deltas, and the event that names the status."""
    item = {"id": "m1", "type": "message", "role": "assistant", "content": []}
    at = {"item_id": "m1", "output_index": 0, "content_index": 0}
    events: list[tuple[str, Any]] = [("response.created", {"response": _response("in_progress")})]
    if texts:
        added = {"output_index": 0, "item": {**item, "status": "in_progress"}}
        events.append(("response.output_item.added", added))
    events += [
        ("response.output_text.delta", {**at, "delta": text, "logprobs": []}) for text in texts
    ]
    details = {"incomplete_details": {"reason": reason}} if reason else {}
    ended = {"response": {**_response(status), **details}}
    events.append((f"response.{status if status != 'cancelled' else 'completed'}", ended))
    return [
        event({"type": name, "sequence_number": number, **fields}, name)
        for number, (name, fields) in enumerate(events)
    ]


def _response(status: str) -> dict[str, Any]:
    fixed = {"id": "r", "object": "response", "created_at": 1, "model": "m", "output": []}
    return {
        **fixed,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "status": status,
    }


def messages(*texts: str, stop: str | None = "end_turn") -> list[bytes]:
    """Anthropic messages: start, the block's deltas, the delta with the stop reason, stop."""
    start = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": []}
    usage = {"input_tokens": 1, "output_tokens": 1}
    ended = {"delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 2}}
    block = {"index": 0, "content_block": {"type": "text", "text": ""}}
    deltas = [{"index": 0, "delta": {"type": "text_delta", "text": text}} for text in texts]
    events: list[tuple[str, Any]] = [
        ("message_start", {"message": {**start, "stop_reason": None, "usage": usage}}),
        *([("content_block_start", block)] if texts else []),
        *(("content_block_delta", delta) for delta in deltas),
        *([("content_block_stop", {"index": 0})] if texts else []),
        ("message_delta", ended),
        ("message_stop", {}),
    ]
    return [event({"type": name, **fields}, name) for name, fields in events]


APIS: dict[str, Callable[..., list[bytes]]] = {
    "openai-completions": chat,
    "openai-responses": responses,
    "anthropic-messages": messages,
}


def framed(parts: Sequence[bytes], framing: Framing = "close") -> tuple[bytes, list[int]]:
    """The whole answer as bytes, and where in it each part ends."""
    body = b"".join(parts)
    match framing:
        case "chunked":
            pieces = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]
            head, tail = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0\r\n\r\n"
        case "length":
            pieces, tail = [*parts], b""
            head = _HEAD + b"Content-Length: %d\r\n\r\n" % len(body)
        case "close":
            pieces, tail, head = [*parts], b"", _HEAD + b"\r\n"
    ends, at = [], len(head)
    for piece in pieces:
        at += len(piece)
        ends.append(at)
    return head + b"".join(pieces) + tail, ends
