"""How the HTTP side says no: one body shape, and the one translation from errors to statuses.

    {"error": {"type": "invalid_request", "message": "missing text"}}

Guarantees: `type` and the status are contract, `message` is for people; an unexpected exception is
never described to the caller.

Source: gateway message API, "Error shape and codes"; OpenClaw gateway protocol, "HTTP surface".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from portico.auth.refusals import ProxyAttributionRequired
from portico.protocol.errors import (
    AgentTimeout,
    Forbidden,
    GatewayError,
    IdempotencyMismatch,
    InvalidRequest,
    Overloaded,
    TooManyAttempts,
    Unauthorized,
)

JSON = "application/json"


class ApiError(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong.

    Attributes:
        type: stable, for programs.
        message: for people.
        details: more for programs, with some types.
    """

    type: str
    message: str
    details: dict[str, Any] | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every error."""

    error: ApiError


class NotFound(InvalidRequest):
    """There is nothing at this address or by this id."""

    http_status = 404


class BodyTimeout(InvalidRequest):
    """The caller did not send its body in time."""

    http_status = 408


class PayloadTooLarge(InvalidRequest):
    """The body is larger than the gateway takes."""

    http_status = 413


class InvalidModel(InvalidRequest):
    """The model cannot be selected."""


_TYPES: tuple[tuple[type[GatewayError], str], ...] = (
    (NotFound, "not_found"),
    (BodyTimeout, "timeout"),
    (PayloadTooLarge, "payload_too_large"),
    (InvalidModel, "invalid_model"),
    (IdempotencyMismatch, "idempotency_mismatch"),
    (TooManyAttempts, "rate_limited"),
    (Unauthorized, "unauthorized"),
    (InvalidRequest, "invalid_request"),
    (Overloaded, "overloaded"),
    (AgentTimeout, "timeout"),
)


def json_response(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with JSON."""
    return Response(msgspec.json.encode(body), status, headers, JSON)


def problem(
    status: int, kind: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with an error."""
    return json_response(ErrorBody(ApiError(kind, message)), status, headers)


def translate(error: GatewayError) -> Response:
    """Answer with what an error of the contract means over HTTP."""
    details = error.details if isinstance(error, Forbidden) and error.details else None
    body = ErrorBody(ApiError(error_type(error), error.message, details))
    return json_response(body, error.http_status, error_headers(error))


def error_type(error: GatewayError) -> str:
    """Return an error's type as it stands in the body."""
    if isinstance(error, ProxyAttributionRequired):
        return "proxy_attribution_required"
    if isinstance(error, Forbidden):
        refused_sender = error.details.get("code") == "SENDER_NOT_ALLOWED"
        return "unauthorized" if refused_sender else "forbidden"
    return next(
        (kind for error_class, kind in _TYPES if isinstance(error, error_class)), "unavailable"
    )


def retry_after(ms: int) -> dict[str, str]:
    """Return the Retry-After header for a time in ms, at least one second."""
    return {"retry-after": str(max(1, math.ceil(ms / 1000)))}


def error_headers(error: GatewayError) -> dict[str, str]:
    """Return the headers that belong to a refusal."""
    if isinstance(error, Unauthorized):
        return {"www-authenticate": "Bearer"}
    if isinstance(error, PayloadTooLarge | BodyTimeout):
        return {"connection": "close"}  # the rest of the body is not read
    if error.retry_after_ms is not None:
        return retry_after(error.retry_after_ms)
    return retry_after(1000) if error.http_status in {429, 503} else {}
