"""What can go wrong between a client and a gateway.

    ClientError
    ├── Unreachable           nothing that speaks the protocol answers there
    ├── Refused               the gateway answered with an error
    │   └── ConnectRefused    … to the handshake
    ├── ConnectionLost        the socket closed before the answer
    ├── TimedOut              no answer within the time given
    └── RunFailed             the agent's run ended without an answer

`outcome` says what is known of a call that failed: `not_started`, nothing was done; `uncertain`, it
may have been carried out.

Source: OpenClaw gateway protocol, "Errors" and "Connect failures".
"""

from __future__ import annotations

from typing import Any

from portico.protocol.errors import ErrorCode, ErrorShape, Outcome

_AUTH_PREFIXES = ("AUTH_", "DEVICE_AUTH_", "DEVICE_IDENTITY_", "CONTROL_UI_")
_WAITING = "AUTH_RATE_LIMITED"
_WAIT_THEN_RETRY = "wait_then_retry"


class ClientError(Exception):
    """Base of this package's errors; `str()` is a sentence for people."""

    outcome: Outcome | None = None


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
        told = self.details.get("outcome")
        self.outcome = Outcome(told) if told in set(Outcome) else None

    @property
    def retry_after_s(self) -> float:
        """How long the gateway wants us to wait before asking again; 0: it does not say."""
        return (self.error.retry_after_ms or 0) / 1000

    @property
    def is_repeatable(self) -> bool:
        """The gateway says that asking again, with the same key, may well succeed."""
        return bool(self.error.retryable)

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
        """Trying again cannot help: somebody has to change something first."""
        if self.is_pairing:
            return self.details.get("pauseReconnect") is not False and not self._says_wait
        known = self.error.retryable or self.code == ErrorCode.UNAVAILABLE
        return not (known or self.detail_code == _WAITING or self._says_wait)

    @property
    def _says_wait(self) -> bool:
        return self.details.get("recommendedNextStep") == _WAIT_THEN_RETRY


_OUTCOMES = {
    Outcome.NOT_STARTED: "was not started",
    Outcome.UNCERTAIN: "is uncertain, it may have been carried out",
}


class ConnectionLost(ClientError):
    """The socket closed. `method`: the call that was under way, of which `outcome` speaks."""

    def __init__(
        self,
        code: int,
        reason: str,
        *,
        method: str | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        self.close_code = code
        self.reason = reason
        self.method = method
        self.outcome = outcome
        what = f"; {method} {_OUTCOMES[outcome]}" if method and outcome in _OUTCOMES else ""
        super().__init__(f"the connection closed ({code}{f': {reason}' if reason else ''}){what}")

    def during(self, method: str, outcome: Outcome) -> ConnectionLost:
        """Return the same loss as a call's failure."""
        return ConnectionLost(self.close_code, self.reason, method=method, outcome=outcome)


class TimedOut(ClientError):
    """No answer in time."""

    def __init__(self, what: str, timeout_s: float, outcome: Outcome = Outcome.UNCERTAIN) -> None:
        self.timeout_s = timeout_s
        self.outcome = outcome
        super().__init__(f"{what}: no answer within {timeout_s:g} s; it {_OUTCOMES[outcome]}")


class RunFailed(ClientError):
    """A run ended without an answer. `text` is what had been written."""

    def __init__(self, state: str, reason: str, text: str) -> None:
        self.state = state
        self.reason = reason
        self.text = text
        super().__init__(
            f"the run was {state}" if state == "aborted" else f"the run failed: {reason}"
        )
