"""One connection's conversation: frames in; frames and effects out. No socket, no await.

Theory of operation. A connection goes through four phases, and never back:

    AWAITING_CONNECT   only `connect` is understood; anything else ends the connection
    AUTHENTICATING     `connect` is being judged elsewhere; up to 15 frames wait
    OPEN               requests become calls; each is answered exactly once (`agent`-like calls
                       may be answered twice: accepted, then finally)
    CLOSED             nothing comes out any more

What comes out are effects, in order, for the shell to carry out: `Send` these bytes, `Close` with
this code, `Authenticate` these params, or a `RequestFrame`: invoke it.

A connection whose first frame uses the older vocabulary is answered in it for its whole life.

Guarantees: before hello nothing but the answer to `connect` is sent; no frame follows a close;
a request id that is still in flight is not invoked again.

Source: OpenClaw gateway protocol, "Limits and timers", "Misbehaviour before authentication",
"Close codes", "Lifecycle gating".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

import msgspec

from portico.protocol.connect import ConnectParams, check_protocol
from portico.protocol.errors import (
    ErrorCode,
    ErrorShape,
    GatewayError,
    InvalidRequest,
    Overloaded,
    Unavailable,
)
from portico.protocol.frames import (
    Dialect,
    InvalidFrame,
    NotJson,
    RequestFrame,
    decode_request,
    encode_failure,
    encode_result,
    encode_value,
)
from portico.protocol.scopes import Role
from portico.protocol.validation import decode_params

MAX_REASON_BYTES = 120
MAX_UNAUTHORIZED_CALLS = 10


class Phase(Enum):
    """How far the conversation is."""

    AWAITING_CONNECT = "awaiting-connect"
    AUTHENTICATING = "authenticating"
    OPEN = "open"
    CLOSED = "closed"


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send one text frame."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; nothing follows."""

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Judge these params, then call `admitted` or `refused`."""

    params: ConnectParams


Effect: TypeAlias = "Send | Close | Authenticate | RequestFrame"
Effects: TypeAlias = "tuple[Effect, ...]"
Gate: TypeAlias = "Callable[[], Unavailable | None]"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of one conversation."""

    max_pending_frames: int = 15
    max_in_flight: int = 512


class Connection:
    """The conversation with one client."""

    __slots__ = (
        "_connect_id",
        "_gate",
        "_in_flight",
        "_limits",
        "_pending",
        "_unauthorized",
        "dialect",
        "nonce",
        "phase",
    )

    def __init__(self, nonce: str, gate: Gate, limits: ConnectionLimits) -> None:
        """Begin a conversation.

        Args:
            nonce: what the client is challenged with.
            gate: says why nobody may connect now, or `None`.
        """
        self.nonce = nonce
        self.phase = Phase.AWAITING_CONNECT
        self.dialect: Dialect = "current"
        self._gate = gate
        self._limits = limits
        self._connect_id = ""
        self._in_flight: set[str] | None = None
        self._pending: list[str] | None = None
        self._unauthorized = 0

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answer."""
        return len(self._in_flight) if self._in_flight else 0

    def challenge(self, now_ms: int) -> Send:
        """Return the frame that opens every connection."""
        payload = {"nonce": self.nonce, "ts": now_ms}
        frame = {"type": "event", "event": "connect.challenge", "payload": payload}
        return Send(encode_value(frame))

    def receive(self, text: str) -> Effects:
        """Take one message from the client."""
        if self.phase is Phase.OPEN:
            return self._call(text)
        if self.phase is Phase.AWAITING_CONNECT:
            return self._first(text)
        if self.phase is Phase.AUTHENTICATING:
            return self._wait(text)
        return ()

    def _call(self, text: str) -> Effects:
        try:
            frame = decode_request(text)
        except NotJson:
            return ()
        except InvalidFrame as invalid:
            return self._failed(invalid.request_id, InvalidRequest(invalid.message))
        if self._in_flight:
            if frame.id in self._in_flight:
                return self._failed(frame.id, InvalidRequest("duplicate request id"))
            if len(self._in_flight) >= self._limits.max_in_flight:
                return self._failed(frame.id, Overloaded())
        if frame.method == "connect":
            again = InvalidRequest("connect is only valid as the first request")
            return self._failed(frame.id, again)
        return (frame,)

    def _first(self, text: str) -> Effects:
        try:
            frame = decode_request(text)
        except NotJson:
            return self.close(1000)
        except InvalidFrame:
            return self.close(1008, "invalid request frame")
        self.dialect = frame.dialect
        self._connect_id = frame.id
        if frame.method != "connect":
            return self.refused(InvalidRequest("invalid handshake: first request must be connect"))
        try:
            return self._connect(frame)
        except GatewayError as error:
            return self.refused(error)

    def _connect(self, frame: RequestFrame) -> Effects:
        closed = self._gate()
        if closed is not None:
            return self.refused(closed)
        params = decode_params(ConnectParams, frame.params, what="connect params")
        client = params.client
        worker = (params.role, client.id, client.mode)
        if "worker" in worker or client.id == "openclaw-worker":
            return self.close(1008, "invalid-handshake")
        if params.role not in {Role.OPERATOR, Role.NODE}:
            raise InvalidRequest("invalid role")
        check_protocol(params)
        self.phase = Phase.AUTHENTICATING
        return (Authenticate(params),)

    def _wait(self, text: str) -> Effects:
        if self._pending is None:
            self._pending = []
        if len(self._pending) >= self._limits.max_pending_frames:
            return self.close(1008, "too many pending handshake frames")
        self._pending.append(text)
        return ()

    def admitted(self, hello: Any) -> Effects:
        """Open the connection: hello goes out; what had to wait is taken up by `resume`."""
        if self.phase is not Phase.AUTHENTICATING:
            return ()
        self.phase = Phase.OPEN
        return (Send(encode_result(self._connect_id, hello, self.dialect)),)

    def resume(self) -> Effects:
        """Take the frames that came while `connect` was judged."""
        pending, self._pending = self._pending, None
        effects: list[Effect] = []
        for text in pending or ():
            effects.extend(self.receive(text))
        return tuple(effects)

    def refused(self, error: GatewayError) -> Effects:
        """Answer `connect` with an error and close."""
        if self.phase not in {Phase.AWAITING_CONNECT, Phase.AUTHENTICATING}:
            return ()
        answer = Send(encode_failure(self._connect_id, error.shape(), self.dialect))
        return (answer, *self.close(*_close_for(error)))

    def begin(self, request_id: str) -> None:
        """Note that a request is being worked on and its answer will come later."""
        if self._in_flight is None:
            self._in_flight = set()
        self._in_flight.add(request_id)

    def accepted(self, request_id: str, payload: Any) -> Effects:
        """Give the first of two answers to a request that was begun."""
        if self.phase is not Phase.OPEN or request_id not in (self._in_flight or ()):
            return ()
        return (Send(encode_result(request_id, payload, self.dialect)),)

    def succeeded(self, request_id: str, payload: Any) -> Effects:
        """Give the answer to a request."""
        if self._in_flight:
            self._in_flight.discard(request_id)
        self._unauthorized = 0
        if self.phase is not Phase.OPEN:
            return ()
        return (Send(encode_result(request_id, payload, self.dialect)),)

    def failed(self, request_id: str, error: GatewayError) -> Effects:
        """Give the refusal of a request."""
        if self._in_flight:
            self._in_flight.discard(request_id)
        return self._failed(request_id, error)

    def _failed(self, request_id: str, error: GatewayError) -> Effects:
        if self.phase is not Phase.OPEN:
            return ()
        shape = error.shape()
        answer = Send(encode_failure(request_id, shape, self.dialect, error.payload))
        self._unauthorized = self._unauthorized + 1 if _is_unauthorized(shape) else 0
        if self._unauthorized > MAX_UNAUTHORIZED_CALLS:
            return (answer, *self.close(1008, "repeated unauthorized calls"))
        return (answer,)

    def close(self, code: int, reason: str = "") -> Effects:
        """End the conversation. Closing twice closes once."""
        if self.phase is Phase.CLOSED:
            return ()
        self.lost()
        return (Close(code, shorten(reason)),)

    def lost(self) -> None:
        """Note that the client is gone; nothing comes out any more."""
        self.phase = Phase.CLOSED
        self._pending = None


def shorten(reason: str) -> str:
    """Cut a close reason to what a close frame holds, at a character's border."""
    encoded = reason.encode("utf-8", "replace")
    if len(encoded) <= MAX_REASON_BYTES:
        return reason
    return encoded[:MAX_REASON_BYTES].decode("utf-8", "ignore")


_GATE_REASONS = {
    "startup-sidecars": "gateway starting",
    "gateway-restarting": "gateway restart in progress",
    "gateway-suspending": "gateway suspension in progress",
}


def _close_for(error: GatewayError) -> tuple[int, str]:
    gated = _GATE_REASONS.get(str(error.details.get("reason")))
    if error.code is ErrorCode.UNAVAILABLE and gated:
        return 1013, gated
    if error.details.get("code") == "PROTOCOL_MISMATCH":
        return 1002, error.message
    request_id = error.details.get("requestId")
    return 1008, f"{error.message} (requestId: {request_id})" if request_id else error.message


def _is_unauthorized(error: ErrorShape) -> bool:
    return error.message.startswith("unauthorized role:")


def gateway_starting() -> Unavailable:
    """The answer to `connect` while the gateway starts."""
    return Unavailable(
        "gateway starting; retry shortly",
        details={"reason": "startup-sidecars"},
        retryable=True,
        retry_after_ms=500,
    )


def gateway_stopping() -> Unavailable:
    """The answer to `connect` while the gateway stops."""
    return Unavailable(
        "connect unavailable during gateway restart",
        details={"method": "connect", "reason": "gateway-restarting", "phase": "draining"},
        retryable=True,
        retry_after_ms=1000,
    )
