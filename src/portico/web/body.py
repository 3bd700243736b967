"""Read a request body within bounds of size and time, and decode it."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from portico.protocol.errors import InvalidRequest
from portico.web.problem import BodyTimeout, PayloadTooLarge

BODY_TIMEOUT_S = 30.0

T = TypeVar("T")


async def read_body(request: Request, *, limit: int, timeout_s: float = BODY_TIMEOUT_S) -> bytes:
    """Return the whole body.

    Args:
        limit: the most bytes it may have; checked before and while it is read.

    Raises:
        PayloadTooLarge: it has more.
        BodyTimeout: it did not arrive in time.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    except TimeoutError:
        raise BodyTimeout("Request body timeout") from None
    except ClientDisconnect:
        raise InvalidRequest("the request ended before its body") from None
    return b"".join(chunks)


def decode_json(body: bytes, kind: type[T]) -> T:
    """Return the body as a struct; unknown fields are ignored.

    Raises:
        InvalidRequest: it is not JSON, or not of this shape.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"decode json: {error}") from None


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"request body is larger than {limit} bytes")
