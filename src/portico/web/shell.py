"""What surrounds every HTTP request: its id, safe headers, errors, the access log.

Guarantees: every answer carries the security headers and a request id; whatever a handler raises
becomes an answer, and an unexpected exception one without its text; the log line has the path
without its query and without the secret part of an address of the canvas.

Source: OpenClaw gateway protocol, "HTTP surface", common headers.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portico.clock import Clock
from portico.ids import new_id
from portico.observe.metrics import Metrics
from portico.protocol.errors import GatewayError
from portico.store.refusal import refusal_of
from portico.web.problem import problem, translate

log = structlog.get_logger()

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), microphone=(self), geolocation=()"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_CAPABILITY = re.compile(r"(/__openclaw__/cap/)[^/]+")
_QUIET_ROUTES = frozenset({"/health", "/healthz", "/ready", "/readyz", "/startup", "/startupz"})


class Shell:
    """An ASGI app around the app."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        clock: Clock,
        metrics: Metrics | None = None,
        strict_transport_security: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._app = app
        self._clock = clock
        self._metrics = metrics
        self._strict_transport_security = strict_transport_security

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = self._clock.monotonic_s()
        request_id = _request_id(scope)
        answer = _Answer(send, self._headers(request_id), head=scope["method"] == "HEAD")
        try:
            await self._run(scope, receive, answer)
        finally:
            self._note(scope, answer.status, began_s, request_id)

    async def _run(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            await self._app(scope, receive, answer)
        except GatewayError as error:
            if answer.status is not None:
                raise
            await translate(error)(scope, receive, answer)
        except asyncio.CancelledError:
            # The server stops now; without an answer it would write one of its own, in plain text.
            if answer.status is None:
                stopping = problem(503, "unavailable", "The gateway is stopping; try again soon.")
                await stopping(scope, receive, answer)
            raise
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is not None and answer.status is None:
                log.warning("http.not_stored", path=_shown(scope), error=str(error))
                await translate(refusal)(scope, receive, answer)
                return
            log.error("http.failed", method=scope["method"], path=_shown(scope), exc_info=error)
            if answer.status is not None:
                raise  # the server closes the connection: the answer is not complete
            failed = problem(500, "internal_error", "The gateway failed; see its log.")
            await failed(scope, receive, answer)

    def _headers(self, request_id: bytes) -> list[tuple[bytes, bytes]]:
        headers = [*_ALWAYS, (b"x-request-id", request_id)]
        hsts = self._strict_transport_security()
        if hsts:
            headers.append((b"strict-transport-security", hsts.encode("latin-1")))
        return headers

    def _note(self, scope: Scope, status: int | None, began_s: float, request_id: bytes) -> None:
        route = scope.get("portico.route", "")
        shown = str(status or "none")
        if self._metrics is not None:
            self._metrics.http_requests.inc(scope["method"], route or "page", shown)
        write = log.debug if route in _QUIET_ROUTES else log.info
        write(
            "http.request",
            method=scope["method"],
            path=_shown(scope)[:200],
            status=status,
            ms=round((self._clock.monotonic_s() - began_s) * 1000, 1),
            request=request_id.decode(),
        )


class _Answer:
    """`send`, with the headers every answer has."""

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]], *, head: bool) -> None:
        self._send = send
        self._headers = headers
        self._head = head
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = {name for name, _ in message.get("headers", ())}
            added = [header for header in self._headers if header[0] not in own]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        elif self._head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)


def _shown(scope: Scope) -> str:
    return _CAPABILITY.sub(r"\1[redacted]", scope["path"])


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return bytes(value)
    return new_id("req").encode()
