"""Every way in which the door says no, in the words clients know.

Source: OpenClaw gateway protocol, "Connect failures".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from portico.auth.rows import PairingReason, PairingRow, TokenRow
from portico.protocol.connect import ConnectParams
from portico.protocol.errors import (
    Forbidden,
    InvalidRequest,
    NotPaired,
    TooManyAttempts,
    Unauthorized,
)

SecretMode = Literal["token", "password"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a credential was not accepted.

    Attributes:
        given: the client did offer one, so it counts as a failed attempt.
        hinted: what to do depends on the client.
    """

    code: str
    reason: str
    text: str
    next_step: str
    given: bool = False
    hinted: SecretMode | None = None


DEVICE_TOKEN_MISMATCH = Failure(
    "AUTH_DEVICE_TOKEN_MISMATCH",
    "device_token_mismatch",
    "device token mismatch (rotate/reissue device token)",
    "update_auth_credentials",
    given=True,
)

SETUP_CODE_REFUSED = Failure(
    "AUTH_BOOTSTRAP_TOKEN_INVALID",
    "bootstrap_token_invalid",
    "setup code invalid, expired, revoked, or already used"
    " (create a new code; see who is paired with: portico devices list)",
    "update_auth_credentials",
    given=True,
)


NO_DEVICE_TOKEN = Failure(
    "AUTH_DEVICE_TOKEN_MISSING",
    "device_token_missing",
    "this gateway lets in devices only: send the device's token, or pair it again"
    " (portico devices list, portico qr)",
    "update_auth_credentials",
)
LOCAL_SECRET_MISMATCH = Failure(
    "AUTH_TOKEN_MISMATCH",
    "token_mismatch",
    "this is not the secret that commands of the gateway's own machine use",
    "update_auth_credentials",
    given=True,
)


def by_proxy(reason: str) -> Failure:
    """The proxy did not vouch for the client."""
    return Failure(
        "AUTH_UNAUTHORIZED",
        reason,
        f"trusted proxy authentication failed ({reason})",
        "review_auth_configuration",
    )


_TAILSCALE = {
    "tailscale_user_missing": ("AUTH_TAILSCALE_IDENTITY_MISSING", "identity missing"),
    "tailscale_proxy_missing": ("AUTH_TAILSCALE_PROXY_MISSING", "proxy headers missing"),
    "tailscale_whois_failed": ("AUTH_TAILSCALE_WHOIS_FAILED", "identity check failed"),
    "tailscale_user_mismatch": ("AUTH_TAILSCALE_IDENTITY_MISMATCH", "identity mismatch"),
}


def by_tailscale(reason: str) -> Failure:
    """Tailscale did not vouch for the client."""
    code, text = _TAILSCALE[reason]
    return Failure(
        code,
        reason,
        f"tailscale {text} (use Tailscale Serve auth or gateway token/password)",
        "review_auth_configuration",
        given=reason == "tailscale_user_mismatch",
    )


class ProxyAttributionRequired(Forbidden):
    """A proxy is between that nobody told us of."""


def unknown_proxy() -> Forbidden:
    """Refuse a request that was passed on by somebody whose word does not count."""
    return ProxyAttributionRequired(
        "proxy headers from an address that is not in gateway.trustedProxies,"
        " or without the client's address",
        details={"code": "PROXY_ATTRIBUTION_REQUIRED"},
    )


def foreign_host() -> Forbidden:
    """Refuse a request under a name that is not this gateway's."""
    return Forbidden(
        "host not allowed (use localhost, or allow its origin in gateway.controlUi.allowedOrigins)",
        details={"code": "HOST_NOT_ALLOWED"},
    )


def missing(mode: SecretMode) -> Failure:
    """The client offered nothing."""
    return Failure(
        f"AUTH_{mode.upper()}_MISSING",
        f"{mode}_missing",
        f"gateway {mode} missing",
        "update_auth_configuration",
        hinted=mode,
    )


def mismatch(mode: SecretMode) -> Failure:
    """The client offered something else."""
    return Failure(
        f"AUTH_{mode.upper()}_MISMATCH",
        f"{mode}_mismatch",
        f"gateway {mode} mismatch",
        "update_auth_credentials",
        given=True,
        hinted=mode,
    )


def not_configured(mode: SecretMode) -> Failure:
    """The gateway has no secret to compare with."""
    return Failure(
        f"AUTH_{mode.upper()}_NOT_CONFIGURED",
        f"{mode}_missing_config",
        f"gateway {mode} not configured on gateway (set gateway.auth.{mode})",
        "update_auth_configuration",
        given=True,
    )


def unauthorized(failure: Failure, params: ConnectParams) -> Unauthorized:
    """Refuse a client whose credential was not accepted."""
    auth = params.auth
    may_retry = (
        failure.code == "AUTH_TOKEN_MISMATCH"
        and params.device is not None
        and bool(auth.token)
        and not auth.device_token
    )
    hint = f" ({_hint(failure.hinted, params)})" if failure.hinted else ""
    return Unauthorized(
        f"unauthorized: {failure.text}{hint}",
        details={
            "code": failure.code,
            "authReason": failure.reason,
            "canRetryWithDeviceToken": may_retry,
            "recommendedNextStep": "retry_with_device_token" if may_retry else failure.next_step,
        },
    )


def _hint(mode: SecretMode, params: ConnectParams) -> str:
    if params.client.is_browser:
        if mode == "token":
            return "open the dashboard URL and paste the token in Control UI settings"
        return "enter the password in Control UI settings"
    if params.client.id == "cli":
        return f"set gateway.remote.{mode} to match gateway.auth.{mode}"
    return f"provide gateway auth {mode}"


def locked_out(wait_ms: int) -> TooManyAttempts:
    """Refuse an address that failed too often."""
    return TooManyAttempts(
        "unauthorized: too many failed authentication attempts (retry later)",
        details={
            "code": "AUTH_RATE_LIMITED",
            "authReason": "rate_limited",
            "canRetryWithDeviceToken": False,
            "recommendedNextStep": "wait_then_retry",
        },
        retryable=True,
        retry_after_ms=wait_ms,
    )


def http_unauthorized() -> Unauthorized:
    """Refuse an HTTP caller, without saying what was wrong."""
    return Unauthorized("Unauthorized", details={"code": "AUTH_UNAUTHORIZED"})


def origin(problem: str) -> InvalidRequest:
    """Refuse a page from elsewhere."""
    return InvalidRequest(
        "origin not allowed (open the Control UI from the gateway host"
        " or allow it in gateway.controlUi.allowedOrigins)",
        details={"code": "CONTROL_UI_ORIGIN_NOT_ALLOWED", "reason": problem},
    )


def control_ui_needs_device() -> InvalidRequest:
    """Refuse the control UI when it cannot sign."""
    return InvalidRequest(
        "control ui requires device identity (use HTTPS or localhost secure context)",
        details={"code": "CONTROL_UI_DEVICE_IDENTITY_REQUIRED"},
    )


def device_required() -> NotPaired:
    """Refuse a client that must, but does not, present a device."""
    return NotPaired("device identity required", details={"code": "DEVICE_IDENTITY_REQUIRED"})


_ASKS: dict[PairingReason, str] = {
    "not-paired": "device is not approved yet",
    "role-upgrade": "device is asking for a higher role than currently approved",
    "scope-upgrade": "device is asking for more scopes than currently approved",
    "metadata-upgrade": "device identity changed and must be re-approved",
}


def pairing(request: PairingRow, reason: PairingReason, held: TokenRow | None) -> NotPaired:
    """Refuse a device until its owner has approved the request."""
    details: dict[str, Any] = {
        "code": "PAIRING_REQUIRED",
        "reason": reason,
        "requestId": request.request_id,
        "remediationHint": f"approve it with: portico devices approve {request.request_id}",
        "recommendedNextStep": "review_auth_configuration",
        "deviceId": request.device_id,
        "requestedRole": request.role,
        "requestedScopes": list(request.scopes),
    }
    if held is not None:
        details |= {"approvedRoles": [held.role], "approvedScopes": list(held.scopes)}
    return NotPaired(f"pairing required: {_ASKS[reason]}", details=details)
