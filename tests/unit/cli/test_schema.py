from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import jsonschema_rs
import msgspec
import pytest
import tree_sitter
import tree_sitter_kotlin
import tree_sitter_swift

from portico.app import method_registry
from portico.cli.schema.document import protocol_document
from portico.cli.schema.kotlin import kotlin
from portico.cli.schema.model import (
    Choice,
    ListOf,
    Member,
    Named,
    Optional,
    Struct,
    Union,
    protocol_model,
)
from portico.cli.schema.pages import GENERATED, pages
from portico.cli.schema.swift import swift
from portico.cli.schema.typescript import typescript
from portico.protocol.events import EVENTS
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


class Soon(Params, frozen=True, tag="soon", tag_field="when"):
    """At once, or nearly."""


class After(Params, frozen=True, tag="after-a-while", tag_field="when"):
    delay_ms: int


class Plan(Params, frozen=True):
    """What to do later."""

    when: Soon | After
    how: Literal["well", "badly"]
    repeat: list[Remove] | None = None
    protocol: str | bool | None = None


class Feature:
    @method("things.remove", scope=Scope.ADMIN, mutates=True)
    async def remove(self, call: Call, params: Remove) -> Removed:
        """Remove a thing. Nothing remains of it."""
        return Removed(removed=True, left=[])

    @method("things.keep", scope=Scope.WRITE)
    def keep(self, call: Call, params: Remove) -> Removed | Kept | None:
        """Keep a thing."""
        return None

    @method("things.plan", scope=Scope.WRITE)
    def plan(self, call: Call, params: Plan) -> list[Kept]:
        """Plan a thing."""
        return []

    @method("things.list", scope=None)
    def list(self, call: Call, params: Empty) -> dict[str, object]:
        """List things."""
        return {}


@pytest.fixture
def registry() -> Registry:
    found = Registry()
    found.add(Feature())
    return found


@pytest.fixture
def document(registry: Registry) -> dict:
    return protocol_document(registry)


def test_methods_are_listed_with_scope_params_and_result(document: dict) -> None:
    assert list(document["methods"]) == [
        *("things.keep", "things.list", "things.plan", "things.remove")
    ]
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


def test_same_registry_gives_the_same_bytes(registry: Registry, document: dict) -> None:
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


def test_named_types(document: dict) -> None:
    made = {one.name: one for one in protocol_model(document).declarations}
    assert made["PlanWhen"] == Union("PlanWhen", "when", {"soon": "Soon", "after-a-while": "After"})
    assert made["PlanHow"] == Choice("PlanHow", ("badly", "well"))
    plan = made["Plan"]
    assert isinstance(plan, Struct)
    assert plan.members == (
        Member("when", Named("PlanWhen")),
        Member("how", Named("PlanHow")),
        Member("repeat", Optional(ListOf(Named("Remove")))),
        Member("protocol", Optional("json")),
    )
    assert isinstance(made["Soon"], Struct)
    assert made["Soon"].tag == ("when", "soon")


def errors_of(language: object, text: str) -> list[str]:
    tree = tree_sitter.Parser(tree_sitter.Language(language)).parse(text.encode())
    found: list[str] = []
    nodes = [tree.root_node]
    while nodes:
        node = nodes.pop()
        if node.type == "ERROR" or node.is_missing:
            found.append(f"{node.start_point}: {(node.text or b'').decode()[:80]}")
        nodes.extend(node.children)
    return found


def test_swift(document: dict) -> None:
    text = swift(protocol_model(document))
    assert errors_of(tree_sitter_swift.language(), text) == []
    assert "public struct Remove: Codable, Equatable, Sendable {" in text
    assert "    public init(id: String, force: Bool? = nil) {" in text
    assert '        case "after-a-while": self = .afterAWhile(try After(from: decoder))' in text
    assert '        case delayMs = "delayMs"' in text
    assert "    public typealias Result = [Kept]" in text
    assert "    public var `protocol`: JSONValue?" in text


def test_kotlin(document: dict) -> None:
    text = kotlin(protocol_model(document))
    assert errors_of(tree_sitter_kotlin.language(), text) == []
    assert "data class Remove(\n    val id: String,\n    val force: Boolean? = null,\n)" in text
    assert '@SerialName("after-a-while")\ndata class After(\n    val delayMs: Long,\n)' in text
    assert ") : PlanWhen" in text
    assert '@JsonClassDiscriminator("when")\nsealed interface PlanWhen' in text
    assert (
        'val thingsPlan = GatewayMethod<Plan, List<Kept>>("things.plan", Plan.serializer(),'
        " ListSerializer(Kept.serializer()))"
    ) in text


def test_pages_have_every_method_and_event(registry: Registry, document: dict) -> None:
    written = pages(registry, document)
    assert set(written) == {"README.md", "events.md", "things.md"}
    assert all(text.startswith(GENERATED) for text in written.values())
    assert "## things.remove\n\nRemove a thing. Nothing remains of it.\n" in written["things.md"]
    assert "params: Remove\nresult: Removed\n" in written["things.md"]
    assert "export interface After {\n" in written["things.md"]
    for name in EVENTS:
        assert f"\n## {name}\n" in written["events.md"]
    for name in document["methods"]:
        assert f"`{name}`" in written["README.md"]


def test_the_pages_in_docs_are_the_generated_ones() -> None:
    folder = Path(__file__).parents[3] / "docs" / "protocol"
    made = method_registry()
    written = {
        page.name: page.read_text()
        for page in folder.glob("*.md")
        if page.read_text().startswith(GENERATED)
    }
    assert written == pages(made, protocol_document(made)), "portico protocol docs docs/protocol"
    assert all(event.doc for event in EVENTS.values())
