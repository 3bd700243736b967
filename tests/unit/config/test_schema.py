from __future__ import annotations

import json
from pathlib import Path

import pytest

from portico.config.fields import all_fields
from portico.config.schema import json_schema, reference_markdown, reload_kind, ui_hints


def test_the_schema_is_of_2020_12_and_described() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"gateway", "agents", "session", "messages", "$schema"} <= schema["properties"].keys()
    port = schema["$defs"]["Gateway"]["properties"]["port"]
    assert port["description"]
    assert port["default"] == 18789
    assert port["anyOf"][0] == {"type": "integer", "minimum": 0, "maximum": 65535}
    token = schema["$defs"]["Auth"]["properties"]["token"]
    assert token["secret"] is True
    assert {"$ref": "#/$defs/SecretRef"} in token["anyOf"]
    assert "maxPayloadBytes" in schema["$defs"]["Limits"]["properties"]
    agents = schema["$defs"]["Agents"]["properties"]
    assert agents["list"]["items"] == {"$ref": "#/$defs/AgentEntry", "required": ["id"]}
    assert schema["$defs"]["RuntimeConfig"]["anyOf"][0] == {"type": "string"}
    json.dumps(schema)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("gateway.port", "restart"),
        ("gateway.auth.rateLimit.maxAttempts", "hot"),
        ("gateway.auth.rateLimit", "hot"),
        ("gateway.auth", "restart"),
        ("gateway.reload", "hot"),
        ("agents.list[0].name", "hot"),
        ("agents.entries.ops.model", "hot"),
        ("models.providers.openai.apiKey", "hot"),
        ("mcp.servers", "hot"),
        ("broadcast.strategy", "none"),
        ("channels.telegram", "none"),
        ("nonsense", "restart"),
    ],
)
def test_a_change_takes_effect_as_its_field_says(path: str, kind: str) -> None:
    assert reload_kind(path) == kind


def test_hints_mark_secrets_and_explain() -> None:
    hints = ui_hints()
    assert hints["gateway.auth.token"]["sensitive"] is True
    assert hints["gateway.auth.token"]["help"]
    assert hints["gateway.customBindHost"]["label"] == "Custom bind host"
    assert "agents.list.*.id" in hints
    assert hints["gateway.limits.maxPayloadBytes"]["advanced"] is True


def test_the_reference_names_every_setting() -> None:
    page = reference_markdown()
    for path, _, section in all_fields():
        if section is None:
            assert f"| `{path}` |" in page, path
    assert "| `gateway.port` | whole number | `18789` | TCP port" in page
    assert "| `gateway.auth.mode` | none or token or password or trusted-proxy or device |" in page
    assert "| `gateway.trustedProxies` | list of text | `[]` |" in page
    assert "| `agents.defaults.runtime.options` | map of anything | `{}` |" in page
    assert "| `agents.list[].runtime` | object | unset |" in page
    assert "*Secret.*" in page


def test_the_page_in_the_documentation_is_this_one() -> None:
    page = Path(__file__).parents[3] / "docs" / "config.md"
    written = page.read_text(encoding="utf-8")
    assert written == reference_markdown(), (
        "portico config schema --format markdown > docs/config.md"
    )


def test_what_is_not_used_is_promised_nowhere() -> None:
    page, schema = reference_markdown(), json.dumps(json_schema())
    used, _, unused = page.partition("## Accepted, kept, and not used by this version")
    for key in ("groupScope", "caPath", "contextPruning"):
        assert f"`{key}`" in unused, key
        assert f"{key}`" not in used, key
        assert f'"{key}"' not in schema, key
    assert "- `gateway`: " in unused
    assert '"reload": "' not in schema  # how a change takes effect is not part of a JSON Schema
