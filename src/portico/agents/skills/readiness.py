"""Whether an agent may use a skill now, and what is missing when it may not.

Guarantees: nothing is run to find out; programs are looked up on the path, and that is all.

Source: OpenClaw, "Gating", "Agent allowlists", "Config overrides".
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from portico.agents.skills.folders import FolderLimits
from portico.agents.skills.installing.rules import InstallRules
from portico.agents.skills.model import Needs, Skill


@dataclass(frozen=True, slots=True)
class Host:
    """The machine skills would run on.

    Attributes:
        platform: as in `sys.platform`.
        env: the gateway's own environment.
        has_setting: whether a path of the configuration holds something.
    """

    platform: str
    env: Mapping[str, str]
    has_setting: Callable[[str], bool]

    def has_program(self, name: str) -> bool:
        """Whether a program is on the path."""
        return bool(name) and shutil.which(name, path=self.env.get("PATH")) is not None


@dataclass(frozen=True, slots=True)
class Entry:
    """What the operator said about one skill.

    Attributes:
        enabled: `None`: nothing.
        config: whatever the skill's tools read.
    """

    enabled: bool | None = None
    api_key: str | None = field(default=None, repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class SkillSettings:
    """What is configured of skills.

    Attributes:
        entries: by skill key.
        allow_bundled: when there is any, no other bundled skill is eligible.
        extra_dirs: more folders, which come last.
        watch: changes are noticed; else the skills stay as they were found first.
        only_for: by agent, the names of the skills it may have; an agent not in it has all.
        max_listed: how many skills a model is told of.
        max_list_chars: how long that list may be.
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)
    allow_bundled: frozenset[str] = frozenset()
    extra_dirs: tuple[str, ...] = ()
    watch: bool = True
    only_for: Mapping[str, frozenset[str]] = field(default_factory=dict)
    limits: FolderLimits = field(default_factory=FolderLimits)
    max_listed: int = 150
    max_list_chars: int = 18_000
    install: InstallRules = field(default_factory=InstallRules)

    def entry(self, skill: Skill) -> Entry:
        """Return what was said about a skill."""
        return self.entries.get(skill.key) or Entry()


@dataclass(frozen=True, slots=True)
class Standing:
    """A skill, and how one agent stands to it.

    Attributes:
        is_disabled: the operator switched it off; or it came from elsewhere, and nobody has
            switched it on yet.
        is_blocked: it is bundled, and not among those that are allowed.
        is_filtered: the agent may have others only.
        is_foreign: it is for other operating systems.
    """

    skill: Skill
    missing: Needs
    settings: Mapping[str, bool]
    is_disabled: bool = False
    is_blocked: bool = False
    is_filtered: bool = False
    is_foreign: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether everything it needs is there."""
        return not self.is_foreign and self.missing == Needs()

    @property
    def is_eligible(self) -> bool:
        """Whether it could be used."""
        ready = self.is_ready or (self.skill.document.gating.always and not self.is_foreign)
        return ready and not self.is_disabled and not self.is_blocked

    @property
    def is_usable(self) -> bool:
        """Whether this agent may read it."""
        return self.is_eligible and not self.is_filtered

    @property
    def is_listed(self) -> bool:
        """Whether the agent is told of it."""
        return self.is_usable and self.skill.document.is_listed


def judge(skill: Skill, agent_id: str, settings: SkillSettings, host: Host) -> Standing:
    """Return how an agent stands to a skill."""
    gating, entry = skill.document.gating, settings.entry(skill)
    checks = {path: host.has_setting(path) for path in gating.requires.config}
    only, allowed = settings.only_for.get(agent_id), settings.allow_bundled
    from_elsewhere = skill.origin is not None and skill.origin.is_from_elsewhere
    return Standing(
        skill=skill,
        missing=_missing(skill, entry, checks, host),
        settings=checks,
        is_disabled=entry.enabled is False or (from_elsewhere and entry.enabled is not True),
        is_blocked=skill.source == "openclaw-bundled"
        and bool(allowed)
        and allowed.isdisjoint((skill.name, skill.key)),
        is_filtered=only is not None and skill.name not in only,
        is_foreign=bool(gating.os) and host.platform not in gating.os,
    )


def variables(skill: Skill, entry: Entry) -> dict[str, str]:
    """Return the environment variables the operator gave a skill."""
    primary = skill.document.gating.primary_env
    key = {primary: entry.api_key} if primary and entry.api_key else {}
    return {**key, **{name: value for name, value in entry.env.items() if value}}


def _missing(skill: Skill, entry: Entry, checks: Mapping[str, bool], host: Host) -> Needs:
    needs = skill.document.gating.requires
    given = variables(skill, entry)
    has_any = not needs.any_bins or any(map(host.has_program, needs.any_bins))
    return Needs(
        bins=tuple(name for name in needs.bins if not host.has_program(name)),
        any_bins=() if has_any else needs.any_bins,
        env=tuple(name for name in needs.env if not (host.env.get(name) or given.get(name))),
        config=tuple(path for path, there in checks.items() if not there),
    )
