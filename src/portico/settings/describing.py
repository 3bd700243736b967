"""The configuration described for forms: schema, hints, and one place of it at a time.

Guarantees: made from the fields alone. The schema for forms has no references, and one kind of
value where an editor's schema also takes null (unset) or a `${NAME}`: forms draw what is left.
Source: OpenClaw gateway protocol, `config.schema`, `config.schema.lookup`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from portico import __version__
from portico.config.schema import json_schema, reload_kind, ui_hints

MAX_DEPTH = 20
_NO_FIELDS = ({"type": "null"}, {"$ref": "#/$defs/Variable"})


def describe(now_ms: int) -> dict[str, Any]:
    """Return the answer to `config.schema`."""
    generated = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="seconds")
    return {
        "schema": _for_forms(json_schema()),
        "uiHints": ui_hints(),
        "version": __version__,
        "generatedAt": generated,
    }


def look_up(path: str) -> dict[str, Any] | None:
    """Return what is at a path, and what is below it; `None`: there is no such place."""
    schema, hints = json_schema(), ui_hints()
    steps = _steps(path)
    node: dict[str, Any] | None = schema
    for step in steps:
        node = None if node is None else _below(schema, node, step)
    if node is None:
        return None
    written = ".".join(steps)
    children = _children(schema, node, steps, hints)
    found = {"path": written or ".", "schema": _alone(schema, node), "children": children}
    if steps:
        found["reloadKind"] = reload_kind(_sample(steps))
    return found | _hint(hints, steps)


def _for_forms(schema: dict[str, Any]) -> dict[str, Any]:
    definitions = schema["$defs"]

    def drawn(node: Any) -> Any:
        if isinstance(node, list):
            return [drawn(one) for one in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            target = definitions[str(node["$ref"]).rpartition("/")[2]]
            return drawn({**target, **{name: node[name] for name in node if name != "$ref"}})
        kept = [one for one in node.get("anyOf", ()) if one not in _NO_FIELDS]
        if len(kept) == 1:
            return drawn({**kept[0], **{name: node[name] for name in node if name != "anyOf"}})
        made = {name: drawn(one) for name, one in node.items() if name != "$defs"}
        if made.get("default", made) is None:  # unset
            del made["default"]
        return made | {"anyOf": drawn(kept)} if kept else made

    plain: dict[str, Any] = drawn(schema)
    return plain


def _steps(path: str) -> list[str]:
    plain = path.replace("[]", ".*").replace("[", ".").replace("]", "").replace("/", ".")
    return [step for step in plain.split(".") if step][:MAX_DEPTH]


def _sample(steps: list[str]) -> str:
    """A real path for a pattern, as the reload rules know it."""
    return ".".join("x" if step == "*" else step for step in steps)


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Follow references, and the first alternative that has something in it."""
    for _ in range(MAX_DEPTH):
        if (name := node.get("$ref")) is not None:
            node = schema["$defs"][str(name).rpartition("/")[2]]
            continue
        choices = [one for key in ("anyOf", "allOf") for one in node.get(key, ())]
        objects = [one for one in choices if _is_container(_target(schema, one))]
        if "properties" in node or not objects:
            return node
        node = objects[0]
    return node


def _target(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    name = node.get("$ref")
    return node if name is None else schema["$defs"].get(str(name).rpartition("/")[2], node)


def _is_container(node: dict[str, Any]) -> bool:
    if node.get("description", "").startswith("A secret kept elsewhere"):
        return False
    return any(key in node for key in ("properties", "items", "anyOf")) or (
        isinstance(node.get("additionalProperties"), dict)
    )


def _below(schema: dict[str, Any], node: dict[str, Any], step: str) -> dict[str, Any] | None:
    node = _resolve(schema, node)
    properties = node.get("properties", {})
    if step in properties:
        found: dict[str, Any] = properties[step]
        return found
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict) and (step == "*" or key != "items" or step.isdigit()):
            inner: dict[str, Any] = node[key]
            return inner
    return None


def _children(
    schema: dict[str, Any], node: dict[str, Any], steps: list[str], hints: dict[str, Any]
) -> list[dict[str, Any]]:
    inside = _resolve(schema, node)
    found: list[tuple[str, dict[str, Any]]] = [*inside.get("properties", {}).items()]
    found += [
        ("*", inside[key])
        for key in ("items", "additionalProperties")
        if isinstance(inside.get(key), dict)
    ]
    required = inside.get("required", ())
    return [
        {**_child(schema, one, [*steps, name], hints), "required": name in required}
        for name, one in found
    ]


def _child(
    schema: dict[str, Any], node: dict[str, Any], steps: list[str], hints: dict[str, Any]
) -> dict[str, Any]:
    inside = _resolve(schema, node)
    has_children = any(
        isinstance(inside.get(name), dict) and inside[name]
        for name in ("properties", "items", "additionalProperties")
    )
    child: dict[str, Any] = {
        "key": steps[-1],
        "path": ".".join(steps),
        "hasChildren": has_children,
        "reloadKind": reload_kind(_sample(steps)),
    }
    if (kinds := _types(schema, node)) is not None:
        child["type"] = kinds
    return child | _hint(hints, steps)


def _types(schema: dict[str, Any], node: dict[str, Any]) -> str | list[str] | None:
    target = _target(schema, node)
    if isinstance(target.get("type"), str):
        return str(target["type"])
    kinds = {
        str(_target(schema, one)["type"])
        for one in target.get("anyOf", ())
        if isinstance(_target(schema, one).get("type"), str)
    }
    return sorted(kinds) if kinds else None


def _hint(hints: dict[str, Any], steps: list[str]) -> dict[str, Any]:
    path = ".".join(steps)
    return {"hint": hints[path], "hintPath": path} if path in hints else {}


def _alone(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """A node without what is below it: those are its children."""
    inside = _resolve(schema, node)
    below = ("properties", "items", "additionalProperties", "$defs", "anyOf", "$schema", "$ref")
    return {name: value for name, value in {**inside, **node}.items() if name not in below}
