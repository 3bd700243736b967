"""The ASGI app: the table of endpoints, the page behind it, the shell around both.

Not here: WebSocket upgrades; the server's protocol class takes them before this app is called.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from portico.clock import Clock
from portico.observe.metrics import Metrics
from portico.web.endpoint import Answer, Endpoint, HttpCall, by_path
from portico.web.gate import Access, Gate
from portico.web.page import Page, not_found
from portico.web.problem import json_response, problem
from portico.web.shell import Shell

_API_PREFIXES = (
    "/v1/",
    "/api/",
    "/sessions/",
    "/tools/",
    "/hooks/",
    "/integrations/",
    "/.openclaw/",
    "/__openclaw__/",
)


@dataclass(frozen=True, slots=True)
class WebSettings:
    """How the HTTP side looks.

    Attributes:
        base_path: where the page is, such as `/portico`; the API is always at the root.
        page_root: the page's files; `None`: the ones that come with the package.
    """

    version: str
    base_path: str = ""
    page_root: Path | None = None
    page_enabled: bool = True
    strict_transport_security: str | None = None


@dataclass(frozen=True, slots=True)
class Web:
    """The HTTP side, ready to be served.

    Attributes:
        claimed: whether a path belongs to the API, so that no WebSocket is opened there.
    """

    asgi: ASGIApp
    claimed: Callable[[str], bool]
    endpoints: tuple[Endpoint, ...]


def build_web(
    *,
    endpoints: Iterable[Endpoint],
    gate: Gate,
    clock: Clock,
    settings: WebSettings,
    metrics: Metrics | None = None,
    below: Mapping[str, ASGIApp] | None = None,
) -> Web:
    """Put the HTTP side together.

    Args:
        below: apps that answer everything below a prefix, such as `/integrations/`.

    Raises:
        ValueError: two endpoints claim the same method and path.
    """
    table = list(endpoints)
    table.append(_openapi_endpoint(table, settings.version))
    page = None
    if settings.page_enabled:
        page = Page(base_path=settings.base_path, root=settings.page_root)
    shell = Shell(
        _Table(by_path(table, gate), below or {}, _Rest(page)),
        clock=clock,
        metrics=metrics,
        strict_transport_security=lambda: settings.strict_transport_security,
    )
    return Web(shell, _claim(table), tuple(table))


class _Table:
    """Every endpoint by its path: one look-up, and then those whose path has parameters."""

    def __init__(
        self, paths: dict[str, ASGIApp], below: Mapping[str, ASGIApp], rest: ASGIApp
    ) -> None:
        self._below = below
        self._paths = {path: app for path, app in paths.items() if "{" not in path}
        self._templates = _compiled({path: app for path, app in paths.items() if "{" in path})
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        found = self._paths.get(path) or self._by_template(scope) or self._by_prefix(path)
        await found(scope, receive, send)

    def _by_prefix(self, path: str) -> ASGIApp:
        return next(
            (app for start, app in self._below.items() if path.startswith(start)), self._rest
        )

    def _by_template(self, scope: Scope) -> ASGIApp | None:
        for pattern, app in self._templates:
            if match := pattern.match(scope["path"]):
                scope["path_params"] = match.groupdict()
                return app
        return None


def _compiled(templates: Mapping[str, ASGIApp]) -> list[tuple[re.Pattern[str], ASGIApp]]:
    if not templates:
        return []
    from starlette.routing import compile_path  # not needed by most gateways, and slow to import

    return [(compile_path(path)[0], app) for path, app in templates.items()]


class _Rest:
    """Whatever no endpoint claims: the page, or nothing."""

    def __init__(self, page: Page | None) -> None:
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        answer = await self._answer(request)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> ASGIApp:
        if request.url.path.startswith(_API_PREFIXES):
            return problem(404, "not_found", "There is nothing at this address.")
        if self._page is None or request.method not in {"GET", "HEAD"}:
            return not_found()
        return await self._page.answer(request) or not_found()


def _claim(endpoints: Iterable[Endpoint]) -> Callable[[str], bool]:
    exact = frozenset(endpoint.path for endpoint in endpoints)

    def claimed(path: str) -> bool:
        return path.rstrip("/") in exact or path.startswith(_API_PREFIXES)

    return claimed


def _openapi_endpoint(table: list[Endpoint], version: str) -> Endpoint:
    made: list[Response] = []

    async def handle(_call: HttpCall) -> Response:
        if not made:
            from portico.web.openapi import openapi_document

            made.append(json_response(openapi_document(table, version=version)))
        return made[0]

    return Endpoint(
        method="GET",
        path="/openapi.json",
        handle=handle,
        operation="openapi",
        summary="This API as an OpenAPI document.",
        answers={200: Answer("The document.", dict)},
        access=Access.PUBLIC,
        tag="operations",
    )
