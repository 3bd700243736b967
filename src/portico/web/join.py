"""`GET /j/<secret>`: the setup code of a join link, once.

Guarantees: nothing tells a link that was opened from one that never was; who guesses waits; the
answer is kept by nobody on the way.

Not here: links (`devices.join`).

Source: OpenClaw gateway protocol, "device.pair.setupCode" (joinUrl), "Rate limiting".
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from portico.auth.rate_limit import FailureLimiter
from portico.clock import Clock
from portico.devices.join import PREFIX, JoinLinks
from portico.web.gate import Gate
from portico.web.problem import json_response, retry_after

_NEVER_KEPT = {"cache-control": "no-store"}


class JoinDoor:
    """Opens join links."""

    def __init__(self, links: JoinLinks, *, gate: Gate, clock: Clock) -> None:
        self._links = links
        self._gate = gate
        self._limiter = FailureLimiter(clock)

    @property
    def below(self) -> dict[str, JoinDoor]:
        """Where it answers."""
        return {PREFIX: self}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["portico.route"] = "/j"
        answer = await self._answer(Request(scope, receive, send))
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        peer = self._gate.peer(request.scope)
        wait_ms = self._limiter.locked_for_ms("device-join", peer.address, exempt=False)
        if wait_ms:
            headers = {**_NEVER_KEPT, **retry_after(wait_ms)}
            return json_response({"error": "rate_limited"}, 429, headers)
        code = None
        if request.method == "GET" and not request.url.query:
            code = await self._links.open(request.scope["path"].removeprefix(PREFIX))
        if code is None:
            self._limiter.failed("device-join", peer.address, exempt=False)
            return json_response({"error": "not_found"}, 404, _NEVER_KEPT)
        self._limiter.succeeded("device-join", peer.address)
        return json_response(code, 200, _NEVER_KEPT)
