"""The tool with which an agent reads its skills."""

from __future__ import annotations

from typing import Annotated

import msgspec

from portico.agents.skills.service import SKILL_READ, Skills
from portico.agents.tools.contract import ToolArgs, ToolCall, tool
from portico.protocol.scopes import Scope


class SkillRead(ToolArgs, frozen=True):
    """Which skill, and which of its files."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64, description="The skill.")]
    file: Annotated[
        str | None,
        msgspec.Meta(
            description="Another file of its folder, such as references/api.md. "
            "Without it: the skill's instructions.",
        ),
    ] = None


class SkillTools:
    """Reading skills."""

    def __init__(self, skills: Skills) -> None:
        self._skills = skills

    @tool(SKILL_READ, group="skills", changes=False, scope=Scope.READ)
    async def read(self, call: ToolCall, args: SkillRead) -> str:
        """Read a skill: how to do a certain job here, step by step.

        Do what it says with the tools you have. A tool it names that you do not have is not
        allowed in this conversation: say so instead of trying another way.
        """
        return await self._skills.read(call.agent_id, args.name, args.file)
