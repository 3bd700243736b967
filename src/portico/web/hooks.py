"""The addresses of hooks: `POST /hooks/<name>`, and the same below `/.openclaw/hooks/`.

Senders prove themselves with the hooks' own token in a header, or by a signature where a mapping
asks for one.

Guarantees: a body is read only from who has the token, or where a signature may stand in for it; a
token in the address is refused; who fails too often waits.

Not here: what is done (automation/hooks).

Source: OpenClaw gateway protocol, "Hooks".
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from portico.auth.rate_limit import FailureLimiter, RateLimitSettings
from portico.automation.hooks.model import HookRequest
from portico.automation.hooks.service import Hooks
from portico.clock import Clock
from portico.protocol.errors import GatewayError
from portico.web.body import read_body
from portico.web.gate import Gate
from portico.web.problem import error_headers, json_response, retry_after

log = structlog.get_logger()

ALIAS = "/.openclaw/hooks/"
TOKEN_HEADER = "x-openclaw-token"
MAX_PATH_CHARS = 200
RETRY_MS = 5_000


@dataclass(frozen=True, slots=True)
class HookDoorSettings:
    """What is configured of the door.

    Attributes:
        max_failures, window_ms: wrong proofs of an address before it has to wait that long.
    """

    path: str = "/hooks"
    max_body_bytes: int = 262_144
    max_failures: int = 20
    window_ms: int = 60_000


class HookDoor:
    """Leads posted bodies to the hooks."""

    def __init__(
        self,
        hooks: Hooks,
        *,
        gate: Gate,
        clock: Clock,
        accepting: Callable[[], bool],
        settings: HookDoorSettings,
    ) -> None:
        self._hooks = hooks
        self._gate = gate
        self._accepting = accepting
        self._prefixes = (f"{settings.path}/", ALIAS)
        self._limiter = FailureLimiter(clock)
        self.limit(settings)

    def limit(self, settings: HookDoorSettings) -> None:
        """Bear more or less from now on; the path stays what it was."""
        self._max_body_bytes = settings.max_body_bytes
        self._limiter.configure(
            RateLimitSettings(
                max_attempts=settings.max_failures,
                window_ms=settings.window_ms,
                lockout_ms=settings.window_ms,
                exempt_loopback=False,
            )
        )

    @property
    def below(self) -> dict[str, HookDoor]:
        """Where it answers."""
        return dict.fromkeys(self._prefixes, self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["portico.route"] = "/hooks"
        request = Request(scope, receive, send)
        try:
            answer = await self._answer(request)
        except GatewayError as error:
            answer = _refusal(error.http_status, error.message, error_headers(error))
        except Exception as error:
            log.error("hooks.failed", exc_info=error)
            answer = _refusal(503, "not accepted; try again", retry_after(RETRY_MS))
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if not self._hooks.settings.is_enabled:
            return _refusal(404, "there is nothing at this address")
        if request.method != "POST":
            return PlainTextResponse("method not allowed\n", 405, {"allow": "POST"})
        if "token" in request.query_params:
            return _refusal(400, "the token belongs into the header Authorization")
        address = self._gate.peer(request.scope).address
        wait_ms = self._limiter.locked_for_ms("hook-auth", address, exempt=False)
        if wait_ms:
            return _refusal(429, "too many wrong tokens; wait", retry_after(wait_ms))
        if not self._accepting():
            return _refusal(503, "not accepting; try again", retry_after(RETRY_MS))
        return await self._proven(request, address)

    async def _proven(self, request: Request, address: str) -> Response:
        path, headers = self._path(request), dict(request.headers)
        has_token = self._has_token(headers)
        if not has_token and not self._hooks.is_signed_at(path):
            return self._failed(address)
        body = await read_body(request, limit=self._max_body_bytes)
        asked = HookRequest(path, headers, body)
        allowed = self._hooks.proven(asked)
        if has_token:
            allowed = (*allowed, *self._hooks.unsigned(path))
        elif not allowed:
            return self._failed(address)
        self._limiter.succeeded("hook-auth", address)
        done = await self._hooks.take(asked, allowed, has_token=has_token)
        return (
            Response(status_code=204)
            if done.body is None
            else json_response(done.body, done.status)
        )

    def _path(self, request: Request) -> str:
        path: str = request.scope["path"]
        prefix = next(one for one in self._prefixes if path.startswith(one))
        return path.removeprefix(prefix).strip("/")[:MAX_PATH_CHARS]

    def _has_token(self, headers: Mapping[str, str]) -> bool:
        token = self._hooks.settings.token
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = bearer.strip() if scheme.lower() == "bearer" else headers.get(TOKEN_HEADER, "")
        is_same = hmac.compare_digest(given.encode(), (token or "").encode())
        return token is not None and is_same

    def _failed(self, address: str) -> Response:
        self._limiter.failed("hook-auth", address, exempt=False)
        return _refusal(401, "unauthorized", {"www-authenticate": "Bearer"})


def _refusal(status: int, error: str, headers: Mapping[str, str] | None = None) -> Response:
    body: dict[str, Any] = {"ok": False, "error": error}
    return json_response(body, status, headers)
