"""Asking a speech service over HTTP: the part that is the same for all of them.

Guarantees: an answer is sound of at most `MAX_SOUND_BYTES`, or a `SpeechError`; a service that is
busy is asked once more when it says soon; redirects are not followed; what a service writes about
an error goes to the log, shortened, and never to the person; keys go nowhere but to the service.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from portico.media.speech.model import EngineAway, EngineRefused

if TYPE_CHECKING:
    import httpx2

log = structlog.get_logger()

MAX_SOUND_BYTES = 16 * 1024 * 1024
MAX_ERROR_BYTES = 2_000
SOON_S = 3.0
FIRST_WAIT_S = 0.3


@dataclass(frozen=True, slots=True)
class Service:
    """Where a service is, and how to get in."""

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


async def ask(service: Service, body: Mapping[str, Any], *, timeout_s: float) -> bytes:
    """Post a request; return the sound.

    Raises:
        EngineRefused: the service does not take it.
        EngineAway: it does not answer, or not now.
    """
    import httpx2

    try:
        async with (
            asyncio.timeout(timeout_s),
            httpx2.AsyncClient(
                trust_env=False, follow_redirects=False, timeout=timeout_s
            ) as client,
        ):
            try:
                return await _once(client, service, body)
            except EngineAway as error:
                wait_s = FIRST_WAIT_S if error.again_s is None else error.again_s
                if wait_s > SOON_S:
                    raise
            except httpx2.ConnectError:
                wait_s = FIRST_WAIT_S
            await asyncio.sleep(wait_s)
            return await _once(client, service, body)
    except TimeoutError:
        raise EngineAway(f"{service.name} did not answer within {timeout_s:g} s") from None
    except httpx2.HTTPError as error:
        log.warning("speech.unreachable", service=service.name, error=type(error).__name__)
        raise EngineAway(f"{service.name} cannot be reached") from None


async def _once(client: httpx2.AsyncClient, service: Service, body: Mapping[str, Any]) -> bytes:
    request = client.build_request("POST", service.url, json=dict(body), headers=service.headers)
    answer = await client.send(request, stream=True)
    try:
        if answer.status_code == 200:
            return await _sound(answer, service)
        said = (await _read(answer, MAX_ERROR_BYTES)).decode(errors="replace")
        log.warning("speech.refused", service=service.name, status=answer.status_code, said=said)
    finally:
        await answer.aclose()
    raise _error(answer, service)


async def _sound(answer: httpx2.Response, service: Service) -> bytes:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind == "application/json":
        raise EngineAway(f"{service.name} answered with something that is no sound")
    content = await _read(answer, MAX_SOUND_BYTES + 1)
    if not content:
        raise EngineAway(f"{service.name} answered with silence")
    if len(content) > MAX_SOUND_BYTES:
        raise EngineRefused(f"{service.name} made more than {MAX_SOUND_BYTES} bytes of sound")
    return content


async def _read(answer: httpx2.Response, most: int) -> bytes:
    content = bytearray()
    async for chunk in answer.aiter_bytes():
        content += chunk
        if len(content) >= most:
            break
    return bytes(content[:most])


def _error(answer: httpx2.Response, service: Service) -> EngineAway | EngineRefused:
    status = answer.status_code
    if status == 429:
        return EngineAway(f"{service.name} has had enough for now", again_s=_again_s(answer))
    if status >= 500 or status == 408:
        return EngineAway(f"{service.name} is out of order ({status})", again_s=_again_s(answer))
    if status in {401, 403}:
        return EngineRefused(f"{service.name} does not accept the configured key")
    return EngineRefused(f"{service.name} does not take this ({status})")


def _again_s(answer: httpx2.Response) -> float | None:
    try:
        wait_s = float(answer.headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, wait_s) if math.isfinite(wait_s) else None
