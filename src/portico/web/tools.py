"""`POST /tools/invoke`: one tool called over HTTP, by the same method as over the WebSocket.

Source: OpenClaw gateway protocol, "/tools/invoke".
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from portico.agents.tools.rpc import Invoked
from portico.protocol.errors import GatewayError, InvalidRequest
from portico.protocol.scopes import Scope
from portico.rpc.call import Call
from portico.rpc.dispatch import Dispatcher
from portico.web.body import decode_json, read_body
from portico.web.endpoint import Answer, Endpoint, HttpCall
from portico.web.problem import error_headers, error_type, json_response

MAX_BODY_BYTES = 2 * 1024 * 1024
_STATUS = {"INVALID_ARGUMENTS": 400, "REFUSED": 400, "TIMEOUT": 500, "FAILED": 500}


class ToolRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to call. `action` is an argument that may stand outside of `args`."""

    tool: str | None = None
    name: str | None = None
    action: str | None = None
    args: dict[str, Any] = msgspec.field(default_factory=dict)
    session_key: str | None = None
    agent_id: str | None = None
    idempotency_key: str | None = None
    dry_run: bool = False


class ToolAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the tool returned."""

    ok: bool = True
    result: Any = None


class ToolProblem(msgspec.Struct, frozen=True):
    """Why there is no result."""

    type: str
    message: str


class ToolRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an error."""

    ok: bool = False
    error: ToolProblem


def tools_endpoint(dispatcher: Dispatcher) -> Endpoint:
    """Return the endpoint."""

    async def invoke(call: HttpCall) -> Response:
        asked = decode_json(await read_body(call.request, limit=MAX_BODY_BYTES), ToolRequest)
        if call.principal is None:
            raise RuntimeError("the door let somebody in without knowing who")
        params = msgspec.json.encode(_params(asked))
        done = await dispatcher.request("tools.invoke", params, Call(call.principal))
        return _answer(done)

    return Endpoint(
        method="POST",
        path="/tools/invoke",
        handle=invoke,
        operation="invokeTool",
        summary="Call one tool under the agent's policy, and get its result.",
        body=ToolRequest,
        answers={
            200: Answer("The result.", ToolAnswer),
            400: Answer("The arguments are wrong, or the tool refuses.", ToolRefusal),
            404: Answer("There is no such tool for this caller.", ToolRefusal),
            409: Answer("The idempotency key was used for something else.", ToolRefusal),
            413: Answer("The body is too large.", ToolRefusal),
            500: Answer("The tool failed.", ToolRefusal),
        },
        needs=Scope.WRITE,
        tag="tools",
        refuse=_refuse,
        error=ToolRefusal,
    )


def _params(asked: ToolRequest) -> dict[str, Any]:
    name = asked.tool or asked.name
    if not name:
        raise InvalidRequest("tools.invoke requires tool")
    given = {**({"action": asked.action} if asked.action else {}), **asked.args}
    whose = {
        "sessionKey": asked.session_key,
        "agentId": asked.agent_id,
        "idempotencyKey": asked.idempotency_key,
    }
    if asked.dry_run:
        raise InvalidRequest("dryRun is not supported")
    return {"name": name, "args": given, **{key: value for key, value in whose.items() if value}}


def _answer(done: Invoked) -> Response:
    if done.error is None:
        return json_response(ToolAnswer(result=done.output))
    problem = ToolProblem(done.error.code.lower(), done.error.message)
    return json_response(ToolRefusal(error=problem), _STATUS.get(done.error.code, 500))


def _refuse(error: GatewayError) -> Response:
    kind = "not_found" if error.http_status == 404 else error_type(error)
    body = ToolRefusal(error=ToolProblem(kind, error.message))
    return json_response(body, error.http_status, error_headers(error))
