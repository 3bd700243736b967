"""Frames: one JSON text message each, in one of two vocabularies.

The protocol's own words are `req`, `res` and `event`. A connection that opens with the older words
`request` is answered with `response` and `broadcast` for its whole life (`Dialect`).

Guarantees: `decode_request` copies nothing but the envelope: `params` stays raw bytes until the
method's own type decodes it. An event's payload is encoded once for all its receivers.

Source: OpenClaw gateway protocol, "Frames". The older words: gateway system overview, "Frame
types".
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec

from portico.protocol.errors import ErrorShape
from portico.protocol.validation import describe_value

Dialect = Literal["current", "legacy"]

_NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class RequestFrame(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename="camel"):
    """A call: `{type, id, method, params?}`."""

    type: Literal["req", "request"]
    id: _NonEmpty
    method: _NonEmpty
    params: msgspec.Raw = msgspec.Raw(b"")
    traceparent: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    expected_profile_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None

    @property
    def dialect(self) -> Dialect:
        """The vocabulary this frame is written in."""
        return "current" if self.type == "req" else "legacy"


class _RequestShape(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A request as the protocol describes it, to name what is wrong with one."""

    type: Literal["req"]
    id: _NonEmpty
    method: _NonEmpty
    params: Any = None
    traceparent: Annotated[str, msgspec.Meta(max_length=128)] = ""
    expected_profile_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] = ""


class InvalidFrame(Exception):
    """JSON, but not a request.

    Attributes:
        request_id: the id to answer to: the frame's own when it has one, else `invalid`.
        message: `invalid request frame: …`, every problem with its path.
    """

    def __init__(self, request_id: str, message: str) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.message = message


class NotJson(Exception):
    """Not JSON at all."""


class _Ok(msgspec.Struct, frozen=True):
    type: str
    id: str
    ok: bool
    payload: Any


class _Failed(msgspec.Struct, frozen=True, omit_defaults=True):
    type: str
    id: str
    ok: bool
    error: ErrorShape
    payload: Any = None


_decoder = msgspec.json.Decoder(RequestFrame)
_EARLY_ID = re.compile(r'\s*\{[^{}\[\]]{0,512}?"id"\s*:\s*"([^"\\]{1,200})"')
_encoder = msgspec.json.Encoder()
_RESPONSE_TYPE: dict[Dialect, str] = {"current": "res", "legacy": "response"}


def decode_request(data: bytes | str) -> RequestFrame:
    """Decode one request frame.

    Raises:
        NotJson: not JSON.
        InvalidFrame: JSON, but not a request.
    """
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _invalid(data, str(error)) from None
    except RecursionError:
        raise _too_deep(data) from None
    except msgspec.DecodeError:
        raise NotJson from None


def _too_deep(data: bytes | str) -> InvalidFrame:
    """Name the request, where its id stands before what cannot be read."""
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    named = _EARLY_ID.match(text)
    request_id = named[1] if named else "invalid"
    return InvalidFrame(request_id, "invalid request frame: nested too deeply")


def _invalid(data: bytes | str, fallback: str) -> InvalidFrame | NotJson:
    try:
        value = msgspec.json.decode(data)
    except RecursionError:
        return _too_deep(data)
    except msgspec.DecodeError:  # valid so far, but broken further on
        return NotJson()
    problems = describe_value(_RequestShape, value) or [fallback]
    given = value.get("id") if isinstance(value, dict) else None
    request_id = given if isinstance(given, str) and given else "invalid"
    return InvalidFrame(request_id, f"invalid request frame: {'; '.join(problems)}")


def encode_value(value: Any) -> bytes:
    """Encode any wire value to JSON."""
    return _encoder.encode(value)


def encode_result(request_id: str, payload: Any, dialect: Dialect = "current") -> bytes:
    """Encode the successful answer to a request."""
    return _encoder.encode(_Ok(_RESPONSE_TYPE[dialect], request_id, True, payload))


def encode_failure(
    request_id: str, error: ErrorShape, dialect: Dialect = "current", payload: Any = None
) -> bytes:
    """Encode the refusal of a request; `payload` only where the protocol sends one as well."""
    return _encoder.encode(_Failed(_RESPONSE_TYPE[dialect], request_id, False, error, payload))


class EncodedEvent:
    """An event encoded once; `frame` adds what differs between connections."""

    __slots__ = ("_legacy", "_payload", "_prefix", "_suffix", "event", "size_bytes")

    def __init__(
        self, event: str, payload: Any, state_version: tuple[int, int] | None = None
    ) -> None:
        self.event = event
        self._payload = _encoder.encode(payload)
        self._prefix = b'{"type":"event","event":"%b","payload":%b' % (
            event.encode(),
            self._payload,
        )
        self._suffix = b"}"
        if state_version is not None:
            self._suffix = b',"stateVersion":{"presence":%d,"health":%d}}' % state_version
        self.size_bytes = len(self._prefix) + len(self._suffix)  # held in memory, about
        self._legacy: bytes | None = None

    def frame(self, seq: int | None, *, cursor: str | None = None) -> bytes:
        """Return the frame for one connection; without `seq` for events outside the sequence."""
        middle = b"" if seq is None else b',"seq":%d' % seq
        if cursor is not None:
            middle += b',"cursor":"%b"' % cursor.encode()
        return self._prefix + middle + self._suffix

    def legacy_frame(self) -> bytes:
        """Return the event in the older words: `{type:"broadcast", event, data}`."""
        if self._legacy is None:
            self._legacy = b'{"type":"broadcast","event":"%b","data":%b}' % (
                self.event.encode(),
                self._payload,
            )
        return self._legacy
