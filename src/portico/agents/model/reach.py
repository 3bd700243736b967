"""Asking a provider which models there are: whether it is there, and takes the key.

Guarantees: a time limit and a bound on the answer; nothing is raised; the key is in no text.

Source: OpenAI and Anthropic API references, "List models".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from portico.net.tls import trusted

if TYPE_CHECKING:
    import httpx2

    from portico.agents.model.catalog import ProviderSpec

Reach = Literal["ok", "auth", "rate_limit", "billing", "timeout", "format", "unknown"]
TIMEOUT_S = 10.0
MAX_MODELS = 500
MAX_ANSWER_BYTES = 4 << 20
_STATUSES: Mapping[int, Reach] = {401: "auth", 403: "auth", 402: "billing", 429: "rate_limit"}


@dataclass(frozen=True, slots=True)
class Reached:
    """What a provider answered.

    Attributes:
        models: their names, sorted.
        problem: what was wrong, for a person.
    """

    status: Reach
    models: tuple[str, ...] = ()
    problem: str | None = None


async def models_at(spec: ProviderSpec, *, timeout_s: float = TIMEOUT_S) -> Reached:
    """Ask a provider for the list of its models."""
    import httpx2

    is_anthropic = spec.api == "anthropic-messages"
    url = f"{spec.base_url}/v1/models" if is_anthropic else f"{spec.base_url}/models"
    try:
        async with (
            asyncio.timeout(timeout_s),
            httpx2.AsyncClient(verify=trusted(), trust_env=False) as client,
            client.stream("GET", url, headers=_headers(spec)) as answer,
        ):
            body = await _body(answer)
    except TimeoutError:
        return _failed("timeout", f"{spec.name} did not answer within {timeout_s:.0f} seconds.")
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        return _failed("unknown", f"{spec.name} cannot be reached: {type(error).__name__}.")
    code = answer.status_code
    if code != 200:
        kind = _STATUSES.get(code, "unknown")
        what = "does not take this key (status" if kind == "auth" else "answered (status"
        return _failed(kind, f"{spec.name} {what} {code}).")
    names = _names(body)
    if names is None:
        return _failed("format", f"{spec.name} answered something that is no list of models.")
    return Reached("ok", names)


def _failed(status: Reach, problem: str) -> Reached:
    return Reached(status, (), problem)


def _headers(spec: ProviderSpec) -> dict[str, str]:
    headers = dict(spec.headers)
    if spec.api_key is None:
        return headers
    if spec.api == "anthropic-messages":
        return {**headers, "x-api-key": spec.api_key, "anthropic-version": "2023-06-01"}
    return {**headers, "authorization": f"Bearer {spec.api_key}"}


async def _body(answer: httpx2.Response) -> bytes:
    read = bytearray()
    async for chunk in answer.aiter_bytes():
        read += chunk
        if len(read) > MAX_ANSWER_BYTES:
            return b""
    return bytes(read)


def _names(body: bytes) -> tuple[str, ...] | None:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    found = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(found, list):
        return None
    names = [one.get("id") for one in found if isinstance(one, dict)]
    return tuple(sorted(one for one in names if isinstance(one, str) and one))[:MAX_MODELS]
