"""The error tree of the protocol.

    GatewayError
    ├── InvalidRequest        INVALID_REQUEST     400
    │   ├── Unauthorized                          401
    │   ├── TooManyAttempts                       429
    │   └── IdempotencyMismatch                   409
    ├── Forbidden             FORBIDDEN           403
    ├── ApprovalNotFound      APPROVAL_NOT_FOUND  404
    ├── NotPaired             NOT_PAIRED          409
    ├── Unavailable           UNAVAILABLE         503
    │   └── Overloaded                            429
    └── AgentTimeout          AGENT_TIMEOUT       504

Guarantees: `code` and `details["code"]` are contract; `message` is for people, except where the
protocol fixes the text and clients match it. `outcome` says what happened to a side effect.

Source: OpenClaw gateway protocol, "Errors".
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

import msgspec


class ErrorCode(StrEnum):
    """Every code a `res` frame may carry."""

    NOT_LINKED = "NOT_LINKED"
    NOT_PAIRED = "NOT_PAIRED"
    AGENT_TIMEOUT = "AGENT_TIMEOUT"
    INVALID_REQUEST = "INVALID_REQUEST"
    FORBIDDEN = "FORBIDDEN"
    APPROVAL_NOT_FOUND = "APPROVAL_NOT_FOUND"
    UNAVAILABLE = "UNAVAILABLE"


class Outcome(StrEnum):
    """What is known of a side effect that failed."""

    NOT_STARTED = "not_started"
    DONE = "done"
    UNCERTAIN = "uncertain"


class ErrorShape(msgspec.Struct, omit_defaults=True, rename="camel", frozen=True):
    """The `error` member of a `res` frame."""

    code: str
    message: str
    details: Any = None
    retryable: bool | None = None
    retry_after_ms: int | None = None


class GatewayError(Exception):
    """A refusal that is part of the contract, not an accident.

    Attributes:
        payload: goes on the wire beside the error, where the protocol has both.
    """

    payload: Any = None
    code: ClassVar[ErrorCode] = ErrorCode.UNAVAILABLE
    http_status: ClassVar[int] = 503

    def __init__(
        self,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retryable: bool | None = None,
        retry_after_ms: int | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = {**(details or {}), **({"outcome": outcome.value} if outcome else {})}
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms

    def shape(self) -> ErrorShape:
        """Return the error as it goes on the wire."""
        return ErrorShape(
            code=self.code.value,
            message=self.message,
            details=self.details or None,
            retryable=self.retryable,
            retry_after_ms=self.retry_after_ms,
        )


class InvalidRequest(GatewayError):
    """The caller sent something that can never work."""

    code = ErrorCode.INVALID_REQUEST
    http_status = 400


class IdempotencyMismatch(InvalidRequest):
    """The idempotency key was used before, with other parameters."""

    http_status = 409

    def __init__(self, method: str) -> None:
        super().__init__(
            f"idempotency key was already used for a different {method} request; use a new key",
            details={"code": "IDEMPOTENCY_MISMATCH"},
        )


class Unauthorized(InvalidRequest):
    """The caller did not prove who it is; on the WebSocket this is an INVALID_REQUEST."""

    http_status = 401


class TooManyAttempts(InvalidRequest):
    """The caller failed to prove itself too often and has to wait."""

    http_status = 429


class Forbidden(GatewayError):
    """The caller is known but may not do this."""

    code = ErrorCode.FORBIDDEN
    http_status = 403

    @classmethod
    def missing_scope(cls, scope: str) -> Forbidden:
        """The standard answer to a call without the scope it needs."""
        return cls(
            f"missing scope: {scope}",
            details={"code": "MISSING_SCOPE", "missingScope": scope, "requiredScopes": [scope]},
        )


class ApprovalNotFound(GatewayError):
    """There is no such approval, or it is over, or the caller may not know of it."""

    code = ErrorCode.APPROVAL_NOT_FOUND
    http_status = 404

    def __init__(self, message: str = "unknown or expired approval id") -> None:
        super().__init__(message, details={"reason": "APPROVAL_NOT_FOUND"})


class NotPaired(GatewayError):
    """The device is unknown, unapproved, or missing where one is needed."""

    code = ErrorCode.NOT_PAIRED
    http_status = 409


class Unavailable(GatewayError):
    """The gateway cannot do this now."""

    code = ErrorCode.UNAVAILABLE
    http_status = 503


class Overloaded(Unavailable):
    """A bounded queue is full."""

    http_status = 429

    def __init__(self, *, retry_after_ms: int = 1000) -> None:
        super().__init__(
            "The server is busy. Please try again in a moment.",
            retryable=True,
            retry_after_ms=retry_after_ms,
            outcome=Outcome.NOT_STARTED,
        )


class AgentTimeout(GatewayError):
    """The agent did not answer in the time it had."""

    code = ErrorCode.AGENT_TIMEOUT
    http_status = 504
