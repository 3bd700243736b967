"""One declaration per HTTP endpoint; from it come the route, the door, the errors and OpenAPI.

    Endpoint("GET", "/v1/gateway/status", handle, operation="gatewayStatus", summary="…",
             access=Access.OPENABLE, needs=Scope.READ, answers={200: Answer("…", StatusResponse)})

Guarantees: a handler runs only for a caller its access admits; another method of a known path is
405 with `Allow`; a path with a trailing slash is the same path, below it there is nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from portico.auth.model import Principal
from portico.auth.peer import Peer
from portico.protocol.errors import GatewayError
from portico.protocol.scopes import Scope
from portico.web.gate import Access, Gate
from portico.web.problem import JSON, ErrorBody, translate


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One request, after the door.

    Attributes:
        principal: the caller; `None` on public endpoints.
    """

    request: Request
    peer: Peer
    principal: Principal | None


@dataclass(frozen=True, slots=True)
class Answer:
    """One documented answer of an endpoint."""

    description: str
    body: Any = None
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)  # name → description


@dataclass(frozen=True, slots=True)
class Query:
    """One query parameter; always a string."""

    name: str
    description: str
    required: bool = False


Handle = Callable[[HttpCall], Awaitable[ASGIApp]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path.

    Attributes:
        path: a Starlette route; what is in braces is a path parameter.
        operation: the OpenAPI operation id.
        refuse: how a refusal of the door or the handler is answered.
        answers: by status; what the door and the shell may answer need not be repeated.
    """

    method: str
    path: str
    handle: Handle
    operation: str
    summary: str
    answers: Mapping[int, Answer]
    access: Access = Access.CREDENTIAL
    needs: Scope | None = None
    query: tuple[Query, ...] = ()
    body: type[Any] | None = None
    tag: str = "gateway"
    refuse: Callable[[GatewayError], Response] = translate
    error: type[Any] = ErrorBody


class _Path:
    """The ASGI app of one path: chooses the endpoint by method."""

    def __init__(self, endpoints: Iterable[Endpoint], gate: Gate) -> None:
        self._by_method = {endpoint.method: endpoint for endpoint in endpoints}
        if "GET" in self._by_method:
            self._by_method.setdefault("HEAD", self._by_method["GET"])
        self._gate = gate
        self._allow = ", ".join(sorted(self._by_method))

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        endpoint = self._by_method.get(scope["method"])
        if endpoint is None:
            refusal = PlainTextResponse("method not allowed\n", 405, {"allow": self._allow})
            await refusal(scope, receive, send)
            return
        scope["portico.route"] = endpoint.path
        request = Request(scope, receive, send)
        peer = self._gate.peer(scope)
        answer: ASGIApp
        try:
            principal = await self._gate.admit(
                peer, request.headers.get("authorization"), endpoint.access, endpoint.needs
            )
            answer = await endpoint.handle(HttpCall(request, peer, principal))
        except GatewayError as error:
            answer = endpoint.refuse(error)
        await answer(scope, receive, send)


def by_path(endpoints: Iterable[Endpoint], gate: Gate) -> dict[str, ASGIApp]:
    """Return the app of each path of a table of endpoints.

    Raises:
        ValueError: one method of one path is declared twice.
    """
    paths: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        methods = paths.setdefault(endpoint.path, {})
        if endpoint.method in methods:
            raise ValueError(f"{endpoint.method} {endpoint.path} is declared twice")
        methods[endpoint.method] = endpoint
    table: dict[str, ASGIApp] = {}
    for path, methods in paths.items():
        table[path] = table[f"{path}/"] = _Path(methods.values(), gate)
    return table
