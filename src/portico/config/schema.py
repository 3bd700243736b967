"""What the settings tree says about itself: JSON Schema, hints for a form, the reference page.

Guarantees: made from the fields alone, so a new field appears in all of them.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from portico.config.fields import all_fields, extra_of, fields_on
from portico.config.keypath import parse_path

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from portico.config.sections.base import Section

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TYPE_NAMES: dict[object, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Any: "anything",
}

# Source: OpenClaw's reload rules for sections Portico keeps but does not use.
_UNUSED_RELOAD: Literal["none"] = "none"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a config file."""
    from portico.config.model import PorticoConfig

    schema = PorticoConfig.model_json_schema(by_alias=True)
    schema.pop("title", None)
    return {
        "$schema": SCHEMA_DIALECT,
        "title": "Portico configuration",
        **_with_references(schema),
    }


def ui_hints() -> dict[str, dict[str, Any]]:
    """A label and help for each path, for a form. Source: OpenClaw `config.schema`, uiHints."""
    hints: dict[str, dict[str, Any]] = {}
    for order, (path, info, _) in enumerate(all_fields()):
        hint: dict[str, Any] = {"label": _label(path), "order": order}
        if info.description:
            hint["help"] = info.description
        if extra_of(info).get("secret"):
            hint["sensitive"] = True
        if path.startswith("gateway.limits."):
            hint["advanced"] = True
        hints[path.replace("[]", ".*")] = hint
    return hints


def reload_kind(path: str) -> Literal["hot", "restart", "none"]:
    """How a change at `path` takes effect: by its field, or the strongest of those below it."""
    steps = parse_path(path)
    met = fields_on(steps)
    if not met:
        from portico.config.model import OPENCLAW_SECTIONS

        return _UNUSED_RELOAD if str(steps[0]) in OPENCLAW_SECTIONS else "restart"
    if kind := extra_of(met[-1]).get("reload"):
        return _as_kind(kind)
    pattern = ".".join(str(step) for step in steps) + "."
    below = {
        extra_of(info).get("reload") for name, info, _ in all_fields() if name.startswith(pattern)
    }
    return "restart" if "restart" in below else "hot" if "hot" in below else "none"


def reference_markdown() -> str:
    """The reference page: every setting with type, default and meaning."""
    from portico.config.model import PorticoConfig

    lines = [
        "# Configuration reference",
        "",
        "Made from the settings model by `portico config schema --format markdown`; do not edit.",
        "",
        "The file is JSON5 (`~/.portico/portico.json`). A running gateway follows it: see",
        "[configuration](configuration.md); `portico config plan` says what a change would do.",
        "Any text may hold `${NAME}` from the environment; a secret may be",
        '`{source: "env", id: "NAME"}` or `{source: "file", id: "path"}`.',
        "",
    ]
    for name, info in PorticoConfig.model_fields.items():
        key = info.alias or name
        lines += _section_lines(key, info)
    lines += [
        "## Accepted, kept, and not used by this version",
        "",
        "Settings of OpenClaw, and ones planned for Portico. `portico config validate` and",
        "`portico doctor` name those that a file sets.",
        "",
        *_not_used_lines(),
        "",
    ]
    return "\n".join(lines)


def _section_lines(key: str, section: FieldInfo) -> list[str]:
    lines = [f"## `{key}`", "", section.description or "", ""]
    rows = [
        (path, info)
        for path, info, inner in all_fields()
        if (path == key or path.startswith((f"{key}.", f"{key}[")))
        and (inner is None or _is_leaf(info))
    ]
    lines += ["| Setting | Type | Default | Meaning |", "| --- | --- | --- | --- |"]
    for path, info in rows:
        extra = extra_of(info)
        meaning = (info.description or "") + (" *Secret.*" if extra.get("secret") else "")
        cells = (
            f"`{path}`",
            _cell(_type_name(info.annotation)),
            _cell(_default_of(info)),
            _cell(meaning),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _not_used_lines() -> list[str]:
    from portico.config.model import PorticoConfig

    sections: list[tuple[str, type[Section]]] = [("", PorticoConfig)]
    sections += [(path, inner) for path, _, inner in all_fields() if inner is not None]
    return [
        "- " + (f"`{path}`: " if path else "") + ", ".join(f"`{key}`" for key in sorted(keys))
        for path, section in sections
        if (keys := section.not_used) and not path.startswith("agents.entries")
    ]


def _is_leaf(info: FieldInfo) -> bool:
    return bool(extra_of(info).get("reload"))


def _type_name(annotation: Any) -> str:
    """A type in words: `list of text`, `map of number`, `a or b`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(str(choice) for choice in arguments)
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return f"map of {_type_name(arguments[1])}"
    if arguments:
        names = [_type_name(one) for one in arguments if one is not type(None)]
        return " or ".join(names)
    return _TYPE_NAMES.get(annotation, "object")


def _default_of(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    default = info.get_default(call_default_factory=True, validated_data={})
    if default is None:
        return "unset"
    return f"`{json.dumps(default, ensure_ascii=False, default=str)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _label(path: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", path.rsplit(".", 1)[-1].strip("$[]*")).lower()
    return words[:1].upper() + words[1:]


def _as_kind(kind: object) -> Literal["hot", "restart", "none"]:
    return "hot" if kind == "hot" else "none" if kind == "none" else "restart"


def _with_references(schema: dict[str, Any]) -> dict[str, Any]:
    """Let every secret also be a reference, and every number or switch a `${NAME}`."""
    definitions = schema.setdefault("$defs", {})
    definitions["SecretRef"] = {
        "type": "object",
        "description": "A secret kept elsewhere: a variable, a file, the store, a program.",
        "properties": {
            "source": {"enum": ["env", "file", "exec", "store"]},
            "provider": {"type": "string"},
            "id": {
                "type": "string",
                "description": "Name of the variable or secret, or path of the file.",
            },
        },
        "required": ["source", "id"],
        "additionalProperties": False,
    }
    definitions["Variable"] = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"}
    for section in (schema, *definitions.values()):
        for name, field in section.get("properties", {}).items():
            field.pop("reload", None)  # how a change takes effect: `config.schema.lookup` says
            section["properties"][name] = _loosened(field)
    for name in ("ModelChoice", "RuntimeConfig"):  # a plain text is their short form
        definitions[name] = {"anyOf": [{"type": "string"}, definitions[name]]}
    # The map of agents has the id as its key; only the list must write it.
    del definitions["AgentEntry"]["required"]
    definitions["Agents"]["properties"]["list"]["items"]["required"] = ["id"]
    return schema


def _loosened(field: dict[str, Any]) -> dict[str, Any]:
    if field.get("secret") and "anyOf" in field:
        return {**field, "anyOf": [*field["anyOf"], {"$ref": "#/$defs/SecretRef"}]}
    if field.get("type") in {"integer", "number", "boolean"}:
        bounds = ("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        own = {name: field[name] for name in bounds if name in field}
        rest = {name: item for name, item in field.items() if name not in bounds}
        return {**rest, "anyOf": [own, {"$ref": "#/$defs/Variable"}]}
    return field
