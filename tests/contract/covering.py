"""Does one JSON Schema take everything another one describes? Enough of it to compare protocols.

Guarantees: what it cannot decide counts as a difference, never as agreement; patterns are the
exception (two regular expressions are not compared).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import jsonschema_rs

Schema = dict[str, Any]
Seen = frozenset[tuple[int, int]]
Validator = jsonschema_rs.Draft7Validator | jsonschema_rs.Draft202012Validator
_LOWER = ("minimum", "minLength", "minItems")
_UPPER = ("maximum", "maxLength", "maxItems")


@dataclass(frozen=True, slots=True)
class Difference:
    """Where one schema describes what the other does not take."""

    path: str
    kind: Literal["bound", "missing", "type", "unknown", "value"]
    message: str


class Document:
    """A schema with the definitions its references point to."""

    def __init__(self, definitions: Schema, prefix: str, draft: type[Validator]) -> None:
        self._definitions = definitions
        self._prefix = prefix
        self._draft = draft

    def resolve(self, schema: Any) -> Schema:
        """Follow references to what they name; `true` and a missing schema are `{}`."""
        while isinstance(schema, dict) and "$ref" in schema:
            schema = self._definitions[schema["$ref"].removeprefix(self._prefix)]
        return schema if isinstance(schema, dict) else {}

    def accepts(self, schema: Schema, value: Any) -> bool:
        """Say whether a value is valid."""
        root = self._prefix.strip("#/")
        return self._draft({**schema, root: self._definitions}).is_valid(value)


def uncovered(
    wide: Schema, narrow: Schema, *, wide_in: Document, narrow_in: Document
) -> list[Difference]:
    """Return where `narrow` describes something that `wide` does not take."""
    return list(_Comparison(wide_in, narrow_in).differences(wide, narrow, "", frozenset()))


class _Comparison:
    def __init__(self, wide: Document, narrow: Document) -> None:
        self._wide = wide
        self._narrow = narrow

    def differences(self, wide: Any, narrow: Any, path: str, seen: Seen) -> Iterator[Difference]:
        wide, narrow = self._wide.resolve(wide), self._narrow.resolve(narrow)
        if (id(wide), id(narrow)) in seen or not _constrains(wide):
            return
        seen |= {(id(wide), id(narrow))}
        if alternatives := narrow.get("anyOf") or narrow.get("oneOf"):
            for alternative in alternatives:
                yield from self.differences(wide, alternative, path, seen)
        elif "const" in narrow or "enum" in narrow:
            for value in narrow.get("enum", [narrow.get("const")]):
                if not self._wide.accepts(wide, value):
                    yield Difference(path, "value", f"{value!r} is refused")
        elif alternatives := wide.get("anyOf") or wide.get("oneOf"):
            yield from self._of_alternatives(alternatives, narrow, path, seen)
        elif isinstance(narrow.get("type"), list):
            for kind in narrow["type"]:
                yield from self.differences(wide, {**narrow, "type": kind}, path, seen)
        else:
            yield from self._of_types(wide, narrow, path, seen)

    def _of_alternatives(
        self, alternatives: list[Any], narrow: Schema, path: str, seen: Seen
    ) -> Iterator[Difference]:
        found = [list(self.differences(one, narrow, path, seen)) for one in alternatives]
        if all(found):
            yield from min(found, key=len)

    def _of_types(
        self, wide: Schema, narrow: Schema, path: str, seen: Seen
    ) -> Iterator[Difference]:
        kind, kinds = narrow.get("type"), wide.get("type")
        kinds = kinds if isinstance(kinds, list) else [kinds] if kinds else []
        if kinds and kind not in kinds and not (kind == "integer" and "number" in kinds):
            message = f"{kind or 'anything'} where only {' or '.join(kinds)} is taken"
            yield Difference(path, "type", message)
            return
        if not kinds and ("const" in wide or "enum" in wide):
            values = wide.get("enum", [wide.get("const")])
            yield Difference(path, "type", f"{kind} where only {values} is taken")
            return
        yield from self._of_bounds(wide, narrow, path)
        if kind == "object":
            yield from self._of_objects(wide, narrow, path, seen)
        elif kind == "array" and "items" in wide:
            yield from self.differences(wide["items"], narrow.get("items"), f"{path}[]", seen)

    def _of_bounds(self, wide: Schema, narrow: Schema, path: str) -> Iterator[Difference]:
        for name in _LOWER:
            if name in wide and narrow.get(name, float("-inf")) < wide[name]:
                yield _bound(path, name, wide, narrow)
        for name in _UPPER:
            if name in wide and narrow.get(name, float("inf")) > wide[name]:
                yield _bound(path, name, wide, narrow)

    def _of_objects(
        self, wide: Schema, narrow: Schema, path: str, seen: Seen
    ) -> Iterator[Difference]:
        known, rest = wide.get("properties", {}), wide.get("additionalProperties", True)
        required = set(narrow.get("required", ()))
        for name in wide.get("required", ()):
            if name not in required:
                yield Difference(f"{path}.{name}", "missing", "is required")
        for name, member in narrow.get("properties", {}).items():
            if name in known:
                yield from self.differences(known[name], member, f"{path}.{name}", seen)
            elif rest is False:
                yield Difference(f"{path}.{name}", "unknown", "is not taken")
            elif isinstance(rest, dict):
                yield from self.differences(rest, member, f"{path}.{name}", seen)


def _constrains(schema: Schema) -> bool:
    return bool(set(schema) - {"$comment", "title", "description", "default"})


def _bound(path: str, name: str, wide: Schema, narrow: Schema) -> Difference:
    message = f"{name} is {wide[name]}, not {narrow.get(name, 'unbounded')}"
    return Difference(path, "bound", message)
