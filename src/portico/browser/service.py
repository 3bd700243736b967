"""What the gateway asks of the browser service, over HTTP on this machine.

Guarantees: an answer in time or an error; no answer larger than `MAX_ANSWER_BYTES`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from portico.browser.process import BrowserProcess, NotRunning
from portico.protocol.errors import GatewayError, InvalidRequest, Outcome, Unavailable

if TYPE_CHECKING:
    import httpx2

MAX_ANSWER_BYTES = 33_554_432
USUAL_MS = 60_000
LONGEST_MS = 300_000
GRACE_S = 5.0
PATH = re.compile(r"/(?:[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+){0,3})?")
TIMEOUT_HEADER = "x-portico-timeout-ms"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to the browser."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    timeout_ms: int | None = None


class BrowserService:
    """The browser of this gateway.

    Args:
        process: `None`: there is none, it is off.
    """

    def __init__(self, process: BrowserProcess | None) -> None:
        self._process = process
        self._client: httpx2.AsyncClient | None = None

    async def request(self, asked: Asked) -> dict[str, Any]:
        """Ask the browser; it is started when it does not run.

        Raises:
            InvalidRequest: it was asked for something that cannot be done.
            Unavailable: it is off, cannot be started, or did not answer.
        """
        if not PATH.fullmatch(asked.path):
            raise InvalidRequest("path is not one of the browser", outcome=Outcome.NOT_STARTED)
        if self._process is None:
            raise Unavailable(
                "the browser is off; set browser.enabled",
                details={"code": "BROWSER_DISABLED"},
                outcome=Outcome.NOT_STARTED,
            )
        try:
            running = await self._process.ensure()
        except NotRunning as error:
            raise Unavailable(
                str(error), details={"code": "BROWSER_UNAVAILABLE"}, outcome=Outcome.NOT_STARTED
            ) from None
        return await self._send(f"http://127.0.0.1:{running.port}", running.token, asked)

    async def close(self) -> None:
        """End it. Safe to call twice."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
        if self._process is not None:
            await self._process.stop()

    async def _send(self, base: str, token: str, asked: Asked) -> dict[str, Any]:
        import httpx2

        timeout_ms = min(asked.timeout_ms or USUAL_MS, LONGEST_MS)
        if self._client is None:
            self._client = httpx2.AsyncClient(trust_env=False)
        try:
            async with self._client.stream(
                asked.method,
                f"{base}{asked.path}",
                params=dict(asked.query),
                content=None if asked.body is None else msgspec.json.encode(asked.body),
                headers={"authorization": f"Bearer {token}", TIMEOUT_HEADER: str(timeout_ms)},
                timeout=timeout_ms / 1000 + GRACE_S,
            ) as answer:
                content = bytearray()
                async for chunk in answer.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        raise Unavailable("the browser's answer is too large")
        except httpx2.HTTPError:
            raise Unavailable(
                "the browser service does not answer",
                details={"code": "BROWSER_UNAVAILABLE"},
                outcome=Outcome.UNCERTAIN,
            ) from None
        return _answer(answer.status_code, bytes(content))


def _answer(status: int, content: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Unavailable("the browser service answered nonsense")
    if status == 200:
        return body
    message = str(body.get("error") or "the browser could not do it")
    details = {"code": str(body.get("code") or "BROWSER_ERROR"), "status": status}
    kind: type[GatewayError] = InvalidRequest if 400 <= status < 500 else Unavailable
    raise kind(message, details=details)
