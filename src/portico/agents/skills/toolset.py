"""The tools that skills are read with, and those that the bundled ones work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from portico.agents.brain.qmd import Qmd
from portico.agents.brain.tools import SKILL as BRAIN
from portico.agents.brain.tools import BrainTools
from portico.agents.skills.readiness import Entry
from portico.agents.skills.service import Skills
from portico.agents.skills.tools import SkillTools
from portico.agents.todo.tools import TodoTools
from portico.agents.webhooks.sender import WebhookSender
from portico.agents.webhooks.tools import SKILL as WEBHOOKS
from portico.agents.webhooks.tools import WebhookTools
from portico.clock import Clock


def skill_tools(
    *, skills: Skills, workspace_of: Callable[[str], str | None], clock: Clock
) -> list[object]:
    """Construct the features with these tools."""

    def config_of(name: str) -> Callable[[], Mapping[str, Any] | None]:
        def config() -> Mapping[str, Any] | None:
            entry = skills.settings.entries.get(name) or Entry()
            return None if entry.enabled is False else entry.config

        return config

    return [
        SkillTools(skills),
        TodoTools(workspace_of=workspace_of, clock=clock),
        WebhookTools(config=config_of(WEBHOOKS), sender=WebhookSender(clock=clock), clock=clock),
        BrainTools(config=config_of(BRAIN), qmd=Qmd(env=skills.host.env, clock=clock)),
    ]
