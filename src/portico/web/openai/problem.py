"""How this API says no: OpenAI's body for every refusal, and for a run that has no answer.

    {"error": {"message": "…", "type": "invalid_request_error", "param": "model",
               "code": "model_not_found"}}

Guarantees: a run that began and failed says `x-should-retry: false`: the SDKs would otherwise ask
again by themselves, and the agent may have acted.

Source: OpenAI API reference, "Errors"; OpenClaw gateway protocol, "OpenAI-compatible".
"""

from __future__ import annotations

import re

import msgspec
from starlette.responses import Response

from portico.agents.runtime import ErrorKind
from portico.protocol.errors import (
    Forbidden,
    GatewayError,
    InvalidRequest,
    Overloaded,
    TooManyAttempts,
    Unauthorized,
)
from portico.turns.life import TurnState
from portico.turns.model import TurnRow
from portico.web.messages.answer import failure_of
from portico.web.problem import error_headers, json_response, retry_after

_PATH = re.compile(r" - at `\$\.?([A-Za-z_][\w\[\].]*)`$")


class OpenAIError(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong.

    Attributes:
        type: whose fault it is; `code`: what it is, for programs; `param`: the field.
    """

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class OpenAIErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every error."""

    error: OpenAIError


class Refused(InvalidRequest):
    """A request this API cannot serve, with the field and the code OpenAI would name."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.openai_code = code


class ModelNotFound(Refused):
    """No agent has this name."""

    http_status = 404

    def __init__(self, model: str) -> None:
        super().__init__(
            f"The model `{model[:200]}` does not exist. Use `portico`, or `portico/<agent>`.",
            param="model",
            code="model_not_found",
        )


class NoSuchResponse(Refused):
    """`previous_response_id` names nothing that is (still) kept."""

    def __init__(self, response_id: str) -> None:
        super().__init__(
            f"Previous response with id '{response_id[:200]}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )


class AnswerFailed(GatewayError):
    """What the agent's model was asked for outside a run did not come; `kind` says why."""

    http_status = 500

    def __init__(self, message: str, *, kind: ErrorKind) -> None:
        super().__init__(message)
        self.kind = kind


_TYPES: tuple[tuple[type[GatewayError], str, str | None], ...] = (
    (Unauthorized, "unauthorized", "invalid_api_key"),
    (TooManyAttempts, "rate_limited", "rate_limit_exceeded"),
    (Overloaded, "rate_limited", "rate_limit_exceeded"),
    (Forbidden, "forbidden", "insufficient_permissions"),
    (InvalidRequest, "invalid_request_error", None),
)

_NO_QUOTA = "insufficient_quota"  # the SDKs' users know it: it is not worth trying again
_BY_KIND: dict[str, tuple[int, str, str | None]] = {
    "rate_limit": (429, "rate_limited", "rate_limit_exceeded"),
    "context_length": (400, "invalid_request_error", "context_length_exceeded"),
    "refusal": (400, "invalid_request_error", "content_policy_violation"),
    "timeout": (504, "api_error", "timeout"),
    "budget": (429, _NO_QUOTA, _NO_QUOTA),
}


def refuse(error: GatewayError) -> Response:
    """Answer with a refusal."""
    status = error.http_status
    if isinstance(error, AnswerFailed):
        status = _BY_KIND.get(error.kind, (status,))[0]
    return json_response(OpenAIErrorBody(error=told(error)), status, error_headers(error))


def told(error: GatewayError) -> OpenAIError:
    """Return a refusal as it stands in the body."""
    kind, code = next(
        ((kind, code) for known, kind, code in _TYPES if isinstance(error, known)),
        ("api_error", None),
    )
    if isinstance(error, AnswerFailed):
        _, kind, code = _BY_KIND.get(error.kind, (0, "api_error", "internal_error"))
        return OpenAIError(message=error.message, type=kind, code=code)
    if isinstance(error, Refused):
        return OpenAIError(
            message=error.message, type=kind, param=error.param, code=error.openai_code
        )
    path = _PATH.search(error.message)
    return OpenAIError(
        message=error.message, type=kind, param=path.group(1) if path else None, code=code
    )


def failure(row: TurnRow) -> tuple[int, OpenAIError] | None:
    """Return why an ended run has no answer; `None` when it has one."""
    found = failure_of(row)
    if found is None:
        return None
    kind = (row.result.error_kind if row.result else None) or ""
    if row.state is TurnState.FAILED and kind in _BY_KIND:
        status, error_type, code = _BY_KIND[kind]
    elif found.status == 429:
        status, error_type, code = 429, "rate_limited", "rate_limit_exceeded"
    else:
        status, error_type, code = found.status, "api_error", found.error.type
    return status, OpenAIError(message=found.error.message, type=error_type, code=code)


def failed(row: TurnRow) -> Response | None:
    """Answer for a run without an answer; `None` when it has one."""
    found = failure(row)
    if found is None:
        return None
    status, error = found
    again = status in {429, 503} and error.type != _NO_QUOTA
    headers = retry_after(1000) if again else {}
    if row.started_at is not None:
        headers["x-should-retry"] = "false"
    return json_response(OpenAIErrorBody(error=error), status, headers)
