"""`browser.request`.

Source: OpenClaw gateway protocol, "cron.*, tts.*, talk, voicewake, wizard, secrets, browser".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from portico.audit.service import Audit
from portico.browser.nodes import BrowserNodes
from portico.browser.service import LONGEST_MS, Asked, BrowserService
from portico.protocol.errors import GatewayError, InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params
from portico.rpc.call import Call
from portico.rpc.method import method

QueryValue = str | int | float | bool


class BrowserRequest(Params, frozen=True):
    """Params of `browser.request`.

    Attributes:
        query: values are texts in the end.
        target: `node`: a node's browser; `None`: a node's when one is named.
        dashboard: the Control UI shows what comes of it; nothing is done differently.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    query: dict[str, QueryValue | None] | None = None
    body: dict[str, Any] | None = None
    timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_MS)] | None = None
    target: Literal["host", "node"] | None = None
    node: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    dashboard: bool | None = None


class BrowserMethods:
    """The browser as operators drive it."""

    def __init__(self, browser: BrowserService, *, nodes: BrowserNodes, audit: Audit) -> None:
        self._browser = browser
        self._nodes = nodes
        self._audit = audit

    @method("browser.request", scope=Scope.ADMIN)
    async def request(self, call: Call, params: BrowserRequest) -> Any:
        """Ask the browser of this gateway, or a node's, and return what it answers."""
        if params.target == "host" and params.node is not None:
            raise InvalidRequest("node is given, and target is host")
        try:
            answer = await self._ask(params)
        except GatewayError as error:
            await self._record(call, params, error)
            raise
        await self._record(call, params, None)
        return answer

    async def _ask(self, params: BrowserRequest) -> Any:
        query = {
            name: _text(value) for name, value in (params.query or {}).items() if value is not None
        }
        if params.target != "node" and params.node is None:
            asked = Asked(params.method, params.path, query, params.body, params.timeout_ms)
            return await self._browser.request(asked)
        passed: dict[str, Any] = {"method": params.method, "path": params.path, "query": query}
        passed |= {} if params.body is None else {"body": params.body}
        passed |= {} if params.timeout_ms is None else {"timeoutMs": params.timeout_ms}
        answer = await self._nodes.proxy(params.node, passed)
        return answer["result"] if isinstance(answer, dict) and "result" in answer else answer

    async def _record(self, call: Call, params: BrowserRequest, error: GatewayError | None) -> None:
        if params.method == "GET":
            return
        await self._audit.record(
            "browser.request",
            actor=call.principal.subject,
            target=f"{params.method} {params.path}",
            details={"node": params.node} if params.node else None,
            outcome="done" if error is None else "refused",
        )


def _text(value: QueryValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
