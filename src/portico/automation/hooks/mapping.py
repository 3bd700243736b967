"""From a posted body to what is done: which mapping fits, and what it says. Pure functions."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from portico.automation.hooks.model import HookMapping, HookRequest
from portico.automation.hooks.template import find

GMAIL = (
    HookMapping(
        path="gmail",
        has="messages[0]",
        name="Gmail",
        session_key="hook:gmail:{{messages[0].id}}",
        template="New email from {{messages[0].from}}\nSubject: {{messages[0].subject}}\n"
        "{{messages[0].snippet}}\n{{messages[0].body}}",
        idempotency="{{messages[0].id}}",
    ),
    HookMapping(
        path="gmail",
        has="data.historyId",
        name="Gmail",
        session_key="hook:gmail:{{data.emailAddress}}",
        template="New mail has arrived for {{data.emailAddress}} (history {{data.historyId}}).",
        idempotency="{{message.messageId}}",
    ),
)
PRESETS: Mapping[str, tuple[HookMapping, ...]] = {"gmail": GMAIL}
DELIVERY_IDS = ("x-github-delivery", "webhook-id", "svix-id")
"""Headers in which senders number what they send."""


def opened(payload: dict[str, Any]) -> dict[str, Any]:
    """Return a body; of a push of Google Pub/Sub with what is in its message, as `data`.

    Source: https://cloud.google.com/pubsub/docs/push, "Receive push messages".
    """
    message = payload.get("message")
    if "subscription" not in payload or not isinstance(message, dict):
        return payload
    try:
        content = base64.b64decode(str(message.get("data", "")), altchars=b"-_")
        return {**payload, "data": msgspec.json.decode(content)}
    except (binascii.Error, ValueError, RecursionError):
        return payload


def context(payload: dict[str, Any], request: HookRequest, *, now: str) -> dict[str, Any]:
    """Return what templates can name: the body's members, and a few names for the rest."""
    headers = {name: value for name, value in request.headers.items() if name not in _SECRET}
    rest = {"payload": payload, "headers": headers, "path": request.path, "now": now}
    return {**payload, **rest}


_SECRET = frozenset({"authorization", "cookie", "x-openclaw-token", "proxy-authorization"})


def leads_to(mapping: HookMapping, path: str) -> bool:
    """Whether a path is the mapping's."""
    return mapping.path is None or mapping.path == path


def choose(
    mappings: Iterable[HookMapping], given: Mapping[str, Any], headers: Mapping[str, str]
) -> HookMapping | None:
    """Return the first mapping a body fits; `None`: there is nothing to do about it."""
    return next((one for one in mappings if _fits(one, given, headers)), None)


def _fits(mapping: HookMapping, given: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    return (
        (mapping.source is None or given["payload"].get("source") == mapping.source)
        and all(headers.get(name) == value for name, value in mapping.headers.items())
        and (mapping.has is None or find(mapping.has, given["payload"]) is not None)
    )
