"""The protocol document as named types: what languages with nominal types are generated from.

Theory of operation: every object with members gets a name, its own or that of where it stands
(`CronAdd` and its member `delivery`: `CronAddDelivery`). `null` among alternatives makes a member
optional; alternatives told apart by a tag stay a union; whatever else may be several things is any
JSON value.

Guarantees: the same document gives the same types in the same order; two types never share a name;
a type is named before nothing that is not in the result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Primitive = Literal["string", "integer", "number", "boolean", "json", "null"]
_PRIMITIVES: Final[Mapping[str, Primitive]] = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
}


@dataclass(frozen=True, slots=True)
class ListOf:
    """A JSON array."""

    item: Shape


@dataclass(frozen=True, slots=True)
class MapOf:
    """A JSON object with any names."""

    value: Shape


@dataclass(frozen=True, slots=True)
class Named:
    """A type of this model."""

    name: str


@dataclass(frozen=True, slots=True)
class Optional:
    """Something that may be missing or null."""

    of: Shape


Shape = Primitive | ListOf | MapOf | Named | Optional


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object, by its name on the wire."""

    name: str
    shape: Shape
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Struct:
    """An object with known members.

    Attributes:
        tag: the member and the value that tell it apart in a union.
    """

    name: str
    members: tuple[Member, ...]
    doc: str = ""
    tag: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several texts."""

    name: str
    values: tuple[str, ...]
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Union:
    """One of several structs, told apart by the value of a member."""

    name: str
    tag: str
    options: Mapping[str, str]  # value to struct


Declaration = Struct | Choice | Union


@dataclass(frozen=True, slots=True)
class MethodModel:
    """An RPC method and the types it takes and gives."""

    name: str
    type_name: str
    params: Shape
    result: Shape
    doc: str


@dataclass(frozen=True, slots=True)
class Model:
    """Everything a generator needs."""

    description: str
    protocol: int
    declarations: tuple[Declaration, ...]
    methods: tuple[MethodModel, ...]
    events: tuple[str, ...]
    scopes: tuple[str, ...]
    error_codes: tuple[str, ...]


def protocol_model(document: dict[str, Any]) -> Model:
    """Return the named types of a protocol document."""
    types = _Types(document["$defs"])
    for name in document["$defs"]:
        types.define(name)
    methods = tuple(
        MethodModel(
            name,
            pascal(name),
            types.shape(method["params"], f"{pascal(name)}Params"),
            types.shape(method["result"], f"{pascal(name)}Result"),
            method["description"],
        )
        for name, method in document["methods"].items()
    )
    return Model(
        description=document["description"],
        protocol=document["protocol"],
        declarations=tuple(types.made.values()),
        methods=methods,
        events=tuple(document["events"]),
        scopes=tuple(document["scopes"]),
        error_codes=tuple(document["errorCodes"]),
    )


class _Types:
    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions
        self._reserved = {pascal(name) for name in definitions}
        self.made: dict[str, Declaration] = {}

    def define(self, name: str) -> None:
        """Make the type of a definition."""
        schema = self._definitions[name]
        if _is_struct(schema):
            self._struct(pascal(name), schema)
        elif "enum" in schema:
            self.made[pascal(name)] = Choice(
                pascal(name), tuple(map(str, schema["enum"])), schema.get("description", "")
            )

    def shape(self, schema: Any, name: str) -> Shape:
        """Return the type of a schema; `name` is for a type that must be made for it."""
        if not isinstance(schema, dict):
            return "json"
        if "$ref" in schema:
            return self._reference(schema["$ref"].rpartition("/")[2])
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            return self._alternatives(schema, options, name)
        if "enum" in schema and all(isinstance(value, str) for value in schema["enum"]):
            return self._add(Choice(self._free(name), tuple(schema["enum"])))
        if "const" in schema:
            return "string" if isinstance(schema["const"], str) else "json"
        return self._of_type(schema, name)

    def _of_type(self, schema: dict[str, Any], name: str) -> Shape:
        kind = schema.get("type")
        if kind == "array" and "items" in schema and "prefixItems" not in schema:
            return ListOf(self.shape(schema["items"], f"{name}Item"))
        if kind == "array":
            return ListOf("json")
        if _is_struct(schema):
            return Named(self._struct(self._free(name), schema))
        if kind == "object":
            values = schema.get("additionalProperties")
            return MapOf(self.shape(values, f"{name}Value"))
        return _PRIMITIVES.get(str(kind), "null" if kind == "null" else "json")

    def _reference(self, definition: str) -> Shape:
        schema = self._definitions[definition]
        if _is_struct(schema) or "enum" in schema:
            return Named(pascal(definition))
        return self.shape(schema, pascal(definition))

    def _alternatives(self, schema: dict[str, Any], options: list[Any], name: str) -> Shape:
        present = [option for option in options if option.get("type") != "null"]
        if len(present) == 1:
            inner = self.shape(present[0], name)
        elif "discriminator" in schema:
            inner = self._union(schema["discriminator"], name)
        else:
            inner = "json"
        missing = len(present) < len(options)
        return Optional(inner) if missing and inner != "json" else inner

    def _union(self, discriminator: dict[str, Any], name: str) -> Shape:
        options = {
            value: pascal(reference.rpartition("/")[2])
            for value, reference in discriminator["mapping"].items()
        }
        for made in self.made.values():
            if isinstance(made, Union) and made.options == options:
                return Named(made.name)
        return self._add(Union(self._free(name), discriminator["propertyName"], options))

    def _struct(self, name: str, schema: dict[str, Any]) -> str:
        required = set(schema.get("required", ()))
        members = []
        for wire, member in schema["properties"].items():
            shape = self.shape(member, f"{name}{pascal(wire)}")
            if wire not in required and not isinstance(shape, Optional):
                shape = Optional(shape)
            members.append(Member(wire, shape, str(member.get("description", ""))))
        doc = str(schema.get("description", "")).partition("\n")[0]
        self.made[name] = Struct(name, tuple(members), doc, _tag(schema))
        return name

    def _add(self, declaration: Choice | Union) -> Named:
        self.made[declaration.name] = declaration
        return Named(declaration.name)

    def _free(self, name: str) -> str:
        found, number = name, 2
        while found in self.made or found in self._reserved:
            found, number = f"{name}{number}", number + 1
        return found


def _is_struct(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "object" and bool(schema.get("properties"))


def _tag(schema: dict[str, Any]) -> tuple[str, str] | None:
    for name, member in schema["properties"].items():
        values = [member["const"]] if "const" in member else member.get("enum", [])
        if len(values) == 1 and isinstance(values[0], str) and name in schema.get("required", ()):
            return name, values[0]
    return None


def pascal(name: str) -> str:
    """`sessions.messages.subscribe`, `last-heartbeat`, `twoPhase` → a type's name."""
    parts = [part for part in re.split(r"\W|_", name) if part]
    return "".join(p.capitalize() if p.isupper() else p[0].upper() + p[1:] for p in parts)


def camel(name: str) -> str:
    """The same with a small first letter: a member's or a constant's name."""
    whole = pascal(name)
    return whole[:1].lower() + whole[1:]
