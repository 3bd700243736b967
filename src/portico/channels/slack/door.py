"""The Events API's door: who calls, and what was posted.

Guarantees: nothing that is unsigned, or signed too long ago, is read.

Source: https://docs.slack.dev/authentication/verifying-requests-from-slack;
https://docs.slack.dev/apis/events-api/using-http-request-urls
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec
from slack_sdk.signature import Clock as SdkClock
from slack_sdk.signature import SignatureVerifier
from typing_extensions import override

from portico.channels.contract import DoorRequest
from portico.clock import Clock

Kind = Literal["url_verification", "events_api", "interactive", "slash_commands"]


class Unproven(Exception):
    """It is not Slack that calls."""


class Unreadable(Exception):
    """It is Slack, and what was posted is not understood."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What Slack has posted; kinds are called as in Socket Mode."""

    kind: Kind
    payload: dict[str, Any]


class _ClockOfTheHouse(SdkClock):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @override
    def now(self) -> float:
        return self._clock.now_ms() / 1000


class Doorkeeper:
    """Lets Slack in, and nobody else."""

    def __init__(self, signing_secret: str, clock: Clock) -> None:
        self._verifier = SignatureVerifier(signing_secret, _ClockOfTheHouse(clock))

    def read(self, request: DoorRequest) -> Posted:
        """Return what was posted.

        Raises:
            Unproven: it is not signed with the secret, lately.
            Unreadable: it is none of the things Slack posts.
        """
        try:
            is_proven = self._verifier.is_valid_request(request.body, request.headers)
        except (ValueError, TypeError):  # a time that is no number, bytes that are no text
            is_proven = False
        if not is_proven:
            raise Unproven
        if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return _form(request.body)
        payload = _object(request.body)
        if payload.get("type") == "url_verification":
            return Posted("url_verification", payload)
        return Posted("events_api", payload)


def _form(body: bytes) -> Posted:
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200))
    except ValueError as error:
        raise Unreadable from error
    if "payload" in fields:
        return Posted("interactive", _object(fields["payload"].encode()))
    if fields.get("ssl_check") == "1" or "command" in fields:
        return Posted("slash_commands", dict(fields))
    raise Unreadable


def _object(text: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unreadable from error
