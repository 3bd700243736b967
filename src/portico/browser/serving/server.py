"""The process of the browser service: a port of this machine, behind a token of its own.

Guarantees: it ends with the process that started it, however that ends: the pipe to it closes; the
browser ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from portico.browser.serving.acts import Acts, Body
from portico.browser.serving.chromium import Chromium
from portico.browser.serving.guard import Guard
from portico.browser.serving.looking import Looking
from portico.browser.serving.routes import Routes
from portico.browser.serving.trouble import Trouble, invalid
from portico.browser.settings import BrowserSettings
from portico.tasks import Tasks

log = structlog.get_logger()

MAX_BODY_BYTES = 1_048_576
LONGEST_S = 300.0
USUAL_S = 60.0
TIMEOUT_HEADER = "x-portico-timeout-ms"


class Service:
    """The ASGI app."""

    def __init__(self, routes: Routes, *, token: str) -> None:
        self._routes = routes
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive, send)
        try:
            status, body = 200, await self._answer(request)
        except Trouble as trouble:
            status, body = trouble.status, trouble.body()
        except Exception as error:
            log.error("browser.failed", path=request.url.path, exc_info=error)
            status, body = 500, {"error": "the browser service failed", "code": "INTERNAL_ERROR"}
        answer = Response(msgspec.json.encode(body), status, media_type="application/json")
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Body:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), self._token):
            raise Trouble(401, "UNAUTHORIZED", "the token is missing or wrong")
        query = dict(request.query_params)
        return await self._routes.answer(
            request.method,
            request.url.path,
            query,
            await _body(request),
            timeout_s=_timeout_s(request),
        )


async def _body(request: Request) -> Body:
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
        raise Trouble(413, "PAYLOAD_TOO_LARGE", "the body is too large")
    content = await request.body()
    if not content:
        return {}
    try:
        found = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        raise invalid("the body is not JSON") from None
    if not isinstance(found, dict):
        raise invalid("the body must be an object")
    return found


def _timeout_s(request: Request) -> float:
    given = request.headers.get(TIMEOUT_HEADER, "")
    return min(int(given) / 1000, LONGEST_S) if given.isdecimal() and int(given) else USUAL_S


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # type: ignore[explicit-override]  # typing has it since 3.12
        yield


async def serve(
    settings: BrowserSettings,
    *,
    env: Mapping[str, str],
    ended: Coroutine[Any, Any, None],
    on_ready: Callable[[int], None],
) -> None:
    """Run the service until `ended` returns.

    Args:
        env: what of it Chromium needs it is given.
        on_ready: told the port.
    """
    tasks = Tasks(lambda name, error: log.error("task.failed", task=name, exc_info=error))
    guard = Guard(settings)
    await guard.start()
    chromium = Chromium(settings, guard, tasks=tasks, env=env)
    looking = Looking(Path(settings.profile_dir) / "captures")
    routes = Routes(chromium, looking, Acts(can_evaluate=settings.can_evaluate), settings)
    app = Service(routes, token=settings.token)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    config = uvicorn.Config(
        app, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False
    )
    server = _Server(config)
    serving = tasks.start(server.serve(sockets=[listener]), name="browser.http")
    ending = tasks.start(ended, name="browser.ended")
    try:
        on_ready(listener.getsockname()[1])
        await asyncio.wait({serving, ending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = server.force_exit = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await chromium.stop()
        await guard.stop()
        await asyncio.wait({serving}, timeout=5)
        await tasks.stop()
