"""What a gateway asks of a node, and what it gets.

Source: OpenClaw gateway protocol, "Nodes" (`node.invoke.request`, `node.invoke.result`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

MAX_PARAMS_BYTES: Final = 8_000_000


class CommandError(Exception):
    """A command was refused or failed. `code` is for programs, the text for people."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class InvokeRequest(msgspec.Struct, frozen=True, rename="camel"):
    """The payload of `node.invoke.request`; members this version does not know are ignored."""

    id: str
    command: str
    node_id: str = ""
    params_json: str | None = msgspec.field(name="paramsJSON", default=None)
    timeout_ms: int | None = None
    idempotency_key: str | None = None
    session_key: str | None = None

    def params(self) -> dict[str, Any]:
        """Return the command's parameters.

        Raises:
            CommandError: they are no JSON object.
        """
        if self.params_json is None:
            return {}
        if len(self.params_json) > MAX_PARAMS_BYTES:
            raise CommandError("INVALID_REQUEST", "INVALID_REQUEST: paramsJSON is too long")
        try:
            params = msgspec.json.decode(self.params_json.encode())
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            raise CommandError(
                "INVALID_REQUEST", "INVALID_REQUEST: paramsJSON malformed JSON"
            ) from None
        if params is None:
            return {}
        if not isinstance(params, dict):
            raise CommandError("INVALID_REQUEST", "INVALID_REQUEST: params must be an object")
        return params


@dataclass(frozen=True, slots=True)
class Invoked:
    """A command under way, as its handler sees it.

    Attributes:
        timeout_s: what the gateway gives it; `None`: it does not say.
        progress: takes what the command says while it runs.
        event: sends a `node.event`.
    """

    invoke_id: str
    command: str
    params: dict[str, Any]
    timeout_s: float | None
    session_key: str | None
    progress: Callable[[bytes], None]
    event: Callable[[str, dict[str, Any]], Awaitable[None]]


Handler = Callable[[Invoked], Awaitable[Any]]
"""Carries out a command and returns its payload, plain JSON values. Raises `CommandError`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended: with a payload, or with an error."""

    payload: Any = None
    error: tuple[str, str] | None = None

    def to_wire(self, invoke_id: str, node_id: str) -> dict[str, Any]:
        """The params of `node.invoke.result`."""
        common = {"id": invoke_id, "nodeId": node_id, "ok": self.error is None}
        if self.error is not None:
            return {**common, "error": {"code": self.error[0], "message": self.error[1]}}
        return {**common, "payloadJSON": msgspec.json.encode(self.payload).decode()}


def text_param(params: dict[str, Any], name: str) -> str | None:
    """Return a text of the parameters; an empty one counts as none.

    Raises:
        CommandError: it is no text.
    """
    value = params.get(name)
    if value is not None and not isinstance(value, str):
        raise CommandError("INVALID_REQUEST", f"INVALID_REQUEST: {name} must be text")
    return value.strip() or None if value else None
