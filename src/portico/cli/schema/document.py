"""One JSON Schema (2020-12) document of the whole protocol, from the registry and the event table.

The document validates any frame. Beside the standard keywords it has `methods` (name to params,
result, scope, …) and `events`, which validators ignore and generators read.

Guarantees: the same registry gives the same bytes; nothing is written by hand but the frames.
"""

from __future__ import annotations

import types
import typing
from typing import Any, Final

import msgspec

from portico import __version__
from portico.protocol.connect import PROTOCOL_VERSION, ConnectParams
from portico.protocol.errors import ErrorCode, ErrorShape
from portico.protocol.events import EVENTS, EventSpec
from portico.protocol.scopes import Scope
from portico.rpc.method import Method, Registry

_REF: Final = "#/$defs/{name}"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def protocol_document(registry: Registry) -> dict[str, Any]:
    """Return the protocol of a gateway with these methods."""
    methods = sorted(registry, key=lambda method: method.name)
    alternatives = {kind: _alternatives(kind) for kind in _types(methods)}
    flat = [kind for kinds in alternatives.values() for kind in kinds]
    schemas, components = msgspec.json.schema_components(
        flat, ref_template=_REF, schema_hook=_anything
    )
    schema_of = dict(zip(flat, schemas, strict=True))

    def shape(kind: Any) -> dict[str, Any]:
        found = [schema_of[one] for one in alternatives[kind]]
        return found[0] if len(found) == 1 else {"anyOf": found}

    return {
        "$schema": _DIALECT,
        "title": "Portico gateway protocol",
        "description": f"Wire protocol {PROTOCOL_VERSION}, Portico {__version__}.",
        "protocol": PROTOCOL_VERSION,
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in _FRAMES],
        "scopes": [scope.value for scope in Scope],
        "errorCodes": [code.value for code in ErrorCode],
        "connect": {"params": shape(ConnectParams)},
        "methods": {
            method.name: _method(method, shape(method.params), shape(method.result))
            for method in methods
        },
        "events": {name: _event(spec) for name, spec in sorted(EVENTS.items())},
        "$defs": {**_FRAMES, **dict(sorted(components.items()))},
    }


def _types(methods: list[Method]) -> list[Any]:
    return [ErrorShape, ConnectParams, *(k for m in methods for k in (m.params, m.result))]


def _alternatives(kind: Any) -> tuple[Any, ...]:
    # A result may be one of several structs. msgspec can encode such a union but not describe it.
    is_union = typing.get_origin(kind) in {types.UnionType, typing.Union}
    return typing.get_args(kind) if is_union else (kind,)


def _anything(_kind: type) -> dict[str, Any]:
    return {"$comment": "any JSON value"}


def _method(method: Method, params: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    scope = method.scope.value if method.scope else None
    return {
        "description": method.doc.partition("\n")[0],
        "role": str(method.role),
        "scope": "by params" if method.scope_rule is not None else scope,
        "mutates": method.mutates,
        "advertised": method.advertised,
        "params": params,
        "result": result,
    }


def _event(spec: EventSpec) -> dict[str, Any]:
    return {
        "scope": spec.scope.value if spec.scope else None,
        "audience": spec.audience,
        "droppable": spec.droppable,
        "sequenced": spec.sequenced,
    }


def _frame(kind: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"type": {"const": kind}, **properties},
        "required": ["type", *required],
        "additionalProperties": False,
    }


_NAME: Final = {"type": "string", "minLength": 1}
_COUNT: Final = {"type": "integer", "minimum": 0}
_FRAMES: Final[dict[str, Any]] = {
    "RequestFrame": _frame(
        "req",
        {
            "id": _NAME,
            "method": _NAME,
            "params": {},
            "traceparent": {"type": "string", "maxLength": 128},
            "expectedProfileId": {"type": "string", "minLength": 1, "maxLength": 128},
        },
        ["id", "method"],
    ),
    "ResponseFrame": _frame(
        "res",
        {
            "id": _NAME,
            "ok": {"type": "boolean"},
            "payload": {},
            "error": {"$ref": "#/$defs/ErrorShape"},
        },
        ["id", "ok"],
    ),
    "EventFrame": _frame(
        "event",
        {
            "event": _NAME,
            "payload": {},
            "seq": _COUNT,
            "stateVersion": {
                "type": "object",
                "properties": {"presence": _COUNT, "health": _COUNT},
                "required": ["presence", "health"],
                "additionalProperties": False,
            },
            "recipientProfileId": {"type": "string"},
            "cursor": {
                "type": "string",
                "description": "Where the stream is; only for clients with the cap event-replay.",
            },
        },
        ["event"],
    ),
}
