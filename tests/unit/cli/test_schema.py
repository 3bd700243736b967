from __future__ import annotations

import json

import jsonschema_rs
import msgspec
import pytest

from portico.cli.schema.document import protocol_document
from portico.cli.schema.typescript import typescript
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import Registry, method


class Remove(Params, frozen=True):
    id: str
    force: bool | None = None


class Removed(Result, frozen=True):
    removed: bool
    left: list[str]
    by: dict[str, int] = msgspec.field(default_factory=dict)


class Kept(Result, frozen=True):
    kept: bool


class Feature:
    @method("things.remove", scope=Scope.ADMIN, mutates=True)
    async def remove(self, call: Call, params: Remove) -> Removed:
        """Remove a thing. Nothing remains of it."""
        return Removed(removed=True, left=[])

    @method("things.keep", scope=Scope.WRITE)
    def keep(self, call: Call, params: Remove) -> Removed | Kept | None:
        """Keep a thing."""
        return None

    @method("things.list", scope=None)
    def list(self, call: Call, params: Empty) -> dict[str, object]:
        """List things."""
        return {}


@pytest.fixture
def document() -> dict:
    registry = Registry()
    registry.add(Feature())
    return protocol_document(registry)


def test_methods_are_listed_with_scope_params_and_result(document: dict) -> None:
    assert list(document["methods"]) == ["things.keep", "things.list", "things.remove"]
    remove = document["methods"]["things.remove"]
    assert remove["scope"] == "operator.admin"
    assert remove["mutates"] is True
    assert remove["params"] == {"$ref": "#/$defs/Remove"}
    assert document["$defs"]["Remove"]["additionalProperties"] is False
    assert document["methods"]["things.list"]["scope"] is None


def test_result_may_be_one_of_several_shapes(document: dict) -> None:
    options = document["methods"]["things.keep"]["result"]["anyOf"]
    assert options == [{"$ref": "#/$defs/Removed"}, {"$ref": "#/$defs/Kept"}, {"type": "null"}]
    assert "result: Removed | Kept | null }" in typescript(document)


def test_document_is_a_valid_schema_that_validates_frames(document: dict) -> None:
    jsonschema_rs.meta.validate(document)
    validator = jsonschema_rs.validator_for(document)
    assert validator.is_valid({"type": "req", "id": "1", "method": "health", "params": {}})
    assert validator.is_valid({"type": "res", "id": "1", "ok": True, "payload": 1})
    assert validator.is_valid({"type": "event", "event": "tick", "seq": 1, "cursor": "e:1"})
    assert not validator.is_valid({"type": "req", "id": "", "method": "health"})
    assert not validator.is_valid({"type": "req", "id": "1", "method": "health", "more": 1})


def test_params_validate_through_the_document(document: dict) -> None:
    connect = {**document["connect"]["params"], "$defs": document["$defs"]}
    validator = jsonschema_rs.validator_for(connect)
    client = {"id": "cli", "mode": "cli", "version": "1", "platform": "linux"}
    assert validator.is_valid({"minProtocol": 4, "maxProtocol": 4, "client": client})
    assert not validator.is_valid({"minProtocol": 4, "maxProtocol": 4, "client": {}})


def test_events_say_who_may_receive_them(document: dict) -> None:
    assert document["events"]["chat"]["scope"] == "operator.read"
    assert document["events"]["tick"] == {
        "scope": None,
        "audience": "everyone",
        "droppable": False,
        "sequenced": True,
    }


def test_same_registry_gives_the_same_bytes(document: dict) -> None:
    registry = Registry()
    registry.add(Feature())
    assert json.dumps(protocol_document(registry)) == json.dumps(document)


def test_typescript_has_a_type_for_everything(document: dict) -> None:
    text = typescript(document)
    assert "export interface Remove {\n  id: string\n  force?: boolean | null\n}" in text
    assert "left: string[]" in text
    assert "by?: Record<string, number>" in text
    assert "/** Remove a thing. Nothing remains of it. Scope: operator.admin. */" in text
    assert '"things.remove": { params: Remove; result: Removed }' in text
    assert '"things.list": { params: Empty; result: Record<string, unknown> }' in text
    assert "export type Frame = RequestFrame | ResponseFrame | EventFrame" in text
    assert "undefined" not in text
