"""What can go wrong between a client and a gateway.

    ClientError
    ├── Unreachable           nothing that speaks the protocol answers there
    ├── Refused               the gateway answered with an error
    │   └── ConnectRefused    … to the handshake
    ├── ConnectionLost        the socket closed; what was under way is uncertain
    └── TimedOut              no answer within the time given; what was asked is uncertain

Source: OpenClaw gateway protocol, "Errors" and "Connect failures".
"""

from __future__ import annotations

from typing import Any

from portico.protocol.errors import ErrorCode, ErrorShape

_AUTH_PREFIXES = ("AUTH_", "DEVICE_AUTH_", "DEVICE_IDENTITY_", "CONTROL_UI_")


class ClientError(Exception):
    """Base of this package's errors; `str()` is a sentence for people."""


class Unreachable(ClientError):
    """Nothing that speaks the protocol answers at the address."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"no gateway answers at {url}: {reason}")


class Refused(ClientError):
    """The gateway answered with an error. `payload` only where the protocol sends one as well."""

    def __init__(self, error: ErrorShape, *, method: str, payload: Any = None) -> None:
        self.error = error
        self.method = method
        self.payload = payload
        super().__init__(error.message)

    @property
    def code(self) -> str:
        """The wire code, such as `INVALID_REQUEST`."""
        return self.error.code

    @property
    def details(self) -> dict[str, Any]:
        """The error's details; empty when there are none."""
        return self.error.details if isinstance(self.error.details, dict) else {}

    @property
    def detail_code(self) -> str:
        """The finer code, such as `MISSING_SCOPE`; empty when there is none."""
        return str(self.details.get("code", ""))


class ConnectRefused(Refused):
    """The handshake was refused."""

    @property
    def is_pairing(self) -> bool:
        """The device must be approved first."""
        return self.detail_code == "PAIRING_REQUIRED"

    @property
    def is_auth(self) -> bool:
        """Credentials are missing or wrong, or the device is not let in."""
        known = self.code == ErrorCode.NOT_PAIRED or self.detail_code.startswith(_AUTH_PREFIXES)
        return known or self.error.message.startswith("unauthorized")

    @property
    def lacks_credentials(self) -> bool:
        """The gateway wants a secret and none was sent."""
        return self.detail_code in {"AUTH_REQUIRED", "AUTH_TOKEN_MISSING", "AUTH_PASSWORD_MISSING"}

    @property
    def is_final(self) -> bool:
        """Trying again cannot help."""
        return not (self.error.retryable or self.code == ErrorCode.UNAVAILABLE)


class ConnectionLost(ClientError):
    """The socket closed. A request under way may or may not have been carried out."""

    def __init__(self, code: int, reason: str) -> None:
        self.close_code = code
        self.reason = reason
        super().__init__(f"the connection closed ({code}{f': {reason}' if reason else ''})")


class TimedOut(ClientError):
    """No answer in time. What was asked may or may not have been carried out."""

    def __init__(self, what: str, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        super().__init__(f"{what}: no answer within {timeout_s:g} s")
