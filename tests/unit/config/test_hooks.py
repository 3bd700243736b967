from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from portico.config import default_config
from portico.config.checks import startup_issues
from portico.config.sections.hooks import Hooks
from portico.wiring.hooks import hook_settings

GOOD = "0123456789abcdef0123456789abcdef"
OWN = "fedcba9876543210fedcba9876543210"
SIGNED = {"match": {"path": "/github/"}, "verify": {"type": "github", "secret": "12345678"}}


def codes(**hooks: Any) -> set[tuple[str, str]]:
    config = default_config(gateway={"auth": {"token": GOOD}}, hooks={"enabled": True, **hooks})
    return {(issue.code, str(issue.severity)) for issue in startup_issues(config)}


@pytest.mark.parametrize(
    ("hooks", "found"),
    [
        ({}, {("hooks.token", "error")}),
        ({"token": GOOD}, {("hooks.token.same", "error")}),
        ({"token": "changeme"}, {("secret.placeholder", "error")}),
        ({"token": OWN, "mappings": [{"agentId": "nobody"}]}, {("hooks.agent", "warning")}),
        ({"token": OWN, "mappings": [{"agentId": "Main"}]}, set()),
        ({"mappings": [SIGNED]}, set()),
        ({"enabled": False}, set()),
    ],
)
def test_hooks_nobody_or_everybody_could_use_are_refused(
    hooks: dict[str, Any], found: set[tuple[str, str]]
) -> None:
    assert codes(**hooks) == found


@pytest.mark.parametrize(
    "hooks", [{"path": "/"}, {"path": "/v1/x"}, {"path": "hooks"}, {"presets": ["hotmail"]}]
)
def test_hooks_that_cannot_be(hooks: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Hooks.model_validate(hooks)


def test_own_mappings_come_before_presets() -> None:
    given = {"presets": ["gmail"], "mappings": [SIGNED], "allowedAgentIds": ["Main"]}
    settings = hook_settings(default_config(hooks=given))
    assert [one.path for one in settings.mappings] == ["github", "gmail", "gmail"]
    assert settings.agent_ids == frozenset({"main"})
    assert "12345678" not in repr(settings)
    assert hook_settings(default_config(hooks={"allowedAgentIds": ["*"]})).agent_ids is None
