"""Skill folders for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portico.agents.skills.folders import FolderLimits
from portico.agents.skills.readiness import Host, SkillSettings
from portico.agents.skills.service import Skills
from tests.support.clock import FakeClock


def write_skill(
    root: Path,
    name: str,
    description: str = "Does a thing.",
    *,
    front: str = "",
    text: str = "Do it.",
    files: Mapping[str, str] | None = None,
) -> Path:
    """Write a skill below a folder of skills; return its folder."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    head = f"---\nname: {name.rpartition('/')[2]}\ndescription: {description}\n{front}---\n"
    (folder / "SKILL.md").write_text(f"{head}\n{text}\n")
    for file, content in (files or {}).items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(content)
    return folder


def host(*settings: str, platform: str = "linux", **env: str) -> Host:
    """A machine with these settings and environment."""
    return Host(platform, env, lambda path: path in settings)


class Shop:
    """Skills of an agent `main` with a workspace, and an installed, a bundled folder."""

    def __init__(self, folder: Path, *, on: Host | None = None, **settings: Any) -> None:
        self.workspace = folder / "workspace"
        self.managed = folder / "skills"
        self.bundled = folder / "bundled"
        self.clock = FakeClock()
        self.told: list[str] = []
        self.skills = Skills(
            settings=SkillSettings(**{"limits": FolderLimits(), **settings}),
            host=on or host(),
            workspace_of=lambda agent_id: str(self.workspace) if agent_id == "main" else None,
            managed=self.managed,
            bundled=self.bundled,
            clock=self.clock,
            changed=self.told.append,
        )

    async def names(self, agent_id: str = "main", *, fresh: bool = True) -> list[str]:
        """The skills the agent is told of."""
        inventory = await self.skills.inventory(agent_id, fresh=fresh)
        return [standing.skill.name for standing in inventory.standings if standing.is_listed]
