"""From the library's errors to the six a channel may raise.

Source: https://docs.slack.dev/reference/methods/chat.postMessage (errors);
https://docs.slack.dev/apis/web-api/rate-limits
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Mapping
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from portico.channels.contract import (
    AuthExpired,
    ChannelError,
    RateLimited,
    Rejected,
    Transient,
    Uncertain,
)

DEFAULT_WAIT_S = 10.0
LONGEST_WAIT_S = 3600.0
NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""What goes wrong before a request has left."""

_REFUSED = frozenset(
    {
        "invalid_auth",
        "not_authed",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "not_allowed_token_type",
        "org_login_required",
        "team_access_not_granted",
    }
)
_LIMITED = frozenset({"ratelimited", "rate_limited"})
_NOT_DONE = frozenset({"service_unavailable", "request_timeout", "team_added_to_org"})
# Slack: "some aspect of the operation" may have "succeeded before the error was raised".
_PERHAPS_DONE = frozenset({"internal_error", "fatal_error"})


class Refused(Rejected):
    """Slack says no; `code` is the error as Slack names it."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


async def asked(call: Awaitable[AsyncSlackResponse], *, reading: bool = False) -> dict[str, Any]:
    """Return what Slack answers to a call.

    Args:
        reading: the call changes nothing, so nothing about it can be uncertain.

    Raises:
        ChannelError: see `classified`.
    """
    try:
        answer = await call
    except (SlackApiError, aiohttp.ClientError, OSError, TimeoutError) as error:
        found = classified(error)
    except (AttributeError, TypeError, ValueError):
        # The library stumbles over an answer that is no JSON object.
        found = Uncertain("Slack's answer is not understood")
    else:
        return answer.data if isinstance(answer.data, dict) else {}
    if reading and isinstance(found, Uncertain):
        found = Transient(str(found))
    raise found


def classified(error: BaseException) -> ChannelError:
    """Return what an error means for the call that met it; its text has no address in it."""
    if isinstance(error, SlackApiError):
        return _answered(error.response)
    if isinstance(error, NOT_SENT):
        return Transient(f"Slack is not reached: {type(error).__name__}")
    if isinstance(error, aiohttp.InvalidURL):
        return Rejected("apiUrl is not an address")
    return Uncertain(f"no answer from Slack: {type(error).__name__}")


def _answered(response: Any) -> ChannelError:
    status = int(getattr(response, "status_code", None) or getattr(response, "status", 0) or 0)
    data = getattr(response, "data", None)
    said: Mapping[str, Any] = data if isinstance(data, dict) else {}
    code = str(said.get("error") or "")
    if status == 429 or code in _LIMITED:
        return RateLimited("Slack asks for a pause", retry_after_s=_wait_s(response))
    if code in _REFUSED:
        return AuthExpired(f"Slack does not accept the token ({code}): install the app again")
    if code in _NOT_DONE or (not code and status == 503):
        return Transient(f"Slack answered {code or status}")
    if code in _PERHAPS_DONE or (not code and (status >= 500 or status == 200)):
        return Uncertain(f"Slack answered {code or status}")
    needed = f": the app needs the scope {said['needed']}" if said.get("needed") else ""
    return Refused(code, f"Slack answered {code or status}{needed}")


def _wait_s(response: Any) -> float:
    headers = getattr(response, "headers", None) or {}
    try:
        wait_s = float(headers.get("Retry-After", ""))
    except ValueError:
        return DEFAULT_WAIT_S
    return min(LONGEST_WAIT_S, max(0.0, wait_s)) if math.isfinite(wait_s) else DEFAULT_WAIT_S
