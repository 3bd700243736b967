"""RPC methods on skills: what there is and what each lacks.

Source: OpenClaw gateway protocol, "skills.status", "skills.bins", "skills.skillCard".
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from portico.agents.service import Agents
from portico.agents.skills.model import Skill
from portico.agents.skills.service import Inventory, Skills
from portico.agents.skills.shapes import Status, skill_shown, trouble_shown
from portico.protocol import keys
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Role, Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class StatusParams(Params, frozen=True, kw_only=True):
    """`{agentId?, sessionKey?}`."""

    agent_id: NonEmpty | None = None
    session_key: NonEmpty | None = None


class Bins(Result, frozen=True, omit_defaults=False):
    """Programs that skills name."""

    bins: tuple[str, ...] = ()


class CardParams(Params, frozen=True, kw_only=True):
    """`{skillKey, agentId?}`."""

    skill_key: NonEmpty
    agent_id: NonEmpty | None = None


class Card(Result, frozen=True, kw_only=True, omit_defaults=False):
    """A skill's SKILL.md."""

    skill_key: str
    path: str
    size_bytes: int
    content: str
    schema: Literal["openclaw.skills.skill-card.v1"] = "openclaw.skills.skill-card.v1"


class SkillMethods:
    """What skills there are."""

    def __init__(self, *, skills: Skills, agents: Agents, main_key: str) -> None:
        self._skills = skills
        self._agents = agents
        self._main_key = main_key

    @method("skills.status", scope=Scope.READ)
    async def status(self, call: Call, params: StatusParams) -> Status:
        """List an agent's skills, what each needs and lacks, and what could not be read."""
        inventory = await self._inventory(params.agent_id, params.session_key)
        settings, platform = self._skills.settings, self._skills.host.platform
        only = settings.only_for.get(inventory.agent_id)
        return Status(
            workspace_dir=str(inventory.workspace or ""),
            managed_skills_dir=str(self._skills.managed),
            skills=tuple(
                skill_shown(standing, settings.install.installers, platform)
                for standing in inventory.standings
            ),
            agent_id=inventory.agent_id,
            agent_skill_filter=None if only is None else tuple(sorted(only)),
            issues=tuple(map(trouble_shown, inventory.troubles)),
        )

    @method("skills.bins", scope=None, role=Role.NODE)
    async def bins(self, call: Call, params: Empty) -> Bins:
        """List the programs that the skills of all agents name, for a node to look for."""
        named: set[str] = set()
        for agent in self._agents.list():
            inventory = await self._skills.inventory(agent.agent_id)
            for standing in inventory.standings:
                named |= _programs(standing.skill)
        return Bins(tuple(sorted(named)))

    @method("skills.skillCard", scope=Scope.READ)
    async def card(self, call: Call, params: CardParams) -> Card:
        """Show a skill's SKILL.md."""
        inventory = await self._inventory(params.agent_id, None)
        standing = inventory.find(params.skill_key)
        if standing is None:
            raise InvalidRequest(f"unknown skill: {params.skill_key}")
        content = await self._skills.source(standing.skill)
        return Card(
            skill_key=standing.skill.key,
            path=str(standing.skill.file),
            size_bytes=len(content.encode()),
            content=content,
        )

    async def _inventory(self, agent_id: str | None, session_key: str | None) -> Inventory:
        default = keys.normalize_agent_id(agent_id) if agent_id else self._agents.default_id
        if session_key is not None and agent_id is None:
            key = keys.canonical(session_key, default_agent=default, main_key=self._main_key)
            default = keys.agent_of(key, default_agent=default)
        return await self._skills.inventory(self._agents.get(default).agent_id, fresh=True)


def _programs(skill: Skill) -> set[str]:
    gating = skill.document.gating
    needed = {*gating.requires.bins, *gating.requires.any_bins}
    return needed.union(*(installer.bins for installer in gating.install))
