"""The addresses of channels: `/integrations/<channel>/…`, one ASGI app for all of them.

A provider that finds nobody at an address that belongs to a configured channel gets 503 with
`Retry-After`, so that it comes again when the account is back; elsewhere there is nothing (404).

Guarantees: a handler has the body as it was signed, within its door's size and our time; what it
raises is logged and answered with 503, never shown.

Not here: who is calling. Each channel proves that itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from portico.channels.contract import DoorRequest, HttpDoor
from portico.channels.doors import PREFIX, Doors
from portico.protocol.errors import GatewayError
from portico.web.body import read_body
from portico.web.gate import Gate
from portico.web.problem import problem, retry_after, translate

log = structlog.get_logger()

HANDLE_TIMEOUT_S = 25.0
RETRY_MS = 5_000


class ChannelDoors:
    """Leads requests to the accounts they are for."""

    def __init__(self, doors: Doors, *, gate: Gate, is_channel: Callable[[str], bool]) -> None:
        self._doors = doors
        self._gate = gate
        self._is_channel = is_channel

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        channel, _, path = scope["path"].removeprefix(f"{PREFIX}/").partition("/")
        found = self._doors.find(channel, path)
        scope["portico.route"] = f"{PREFIX}/{channel if self._is_channel(channel) else 'unknown'}"
        answer: Response
        if found is None:
            answer = self._nobody(channel)
        else:
            answer = await self._answer(Request(scope, receive, send), *found)
        await answer(scope, receive, send)

    def _nobody(self, channel: str) -> Response:
        if self._is_channel(channel):
            away = "The account is not running; try again later."
            return problem(503, "unavailable", away, retry_after(RETRY_MS))
        return problem(404, "not_found", "There is nothing at this address.")

    async def _answer(self, request: Request, door: HttpDoor, rest: str) -> Response:
        if request.method not in door.methods:
            allowed = ", ".join(sorted(door.methods))
            return PlainTextResponse("method not allowed\n", 405, {"allow": allowed})
        try:
            body = await read_body(request, limit=door.max_body_bytes)
            asked = DoorRequest(
                method=request.method,
                path=rest,
                query=dict(request.query_params),
                headers=dict(request.headers),
                body=body,
                remote=self._gate.peer(request.scope).ip,
            )
            async with asyncio.timeout(HANDLE_TIMEOUT_S):
                given = await door.handle(asked)
        except GatewayError as error:
            return translate(error)
        except Exception as error:
            log.error("channel.door_failed", path=request.url.path[:200], exc_info=error)
            return problem(503, "unavailable", "Not accepted; try again.", retry_after(RETRY_MS))
        return Response(given.body, given.status, dict(given.headers), given.content_type)
