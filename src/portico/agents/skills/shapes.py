"""How skills look on the wire.

Source: OpenClaw gateway protocol, "skills.status"; `issues` and `command` are ours.
"""

from __future__ import annotations

from portico.agents.skills.installing.installers import InstallerSettings, Option, options
from portico.agents.skills.model import Needs, Trouble
from portico.agents.skills.readiness import Standing
from portico.protocol.validation import Result


class NeedsShown(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What a skill needs, or lacks."""

    bins: tuple[str, ...] = ()
    any_bins: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    config: tuple[str, ...] = ()
    os: tuple[str, ...] = ()


class SettingCheck(Result, frozen=True):
    """One setting a skill needs."""

    path: str
    satisfied: bool


class InstallOption(Result, frozen=True, kw_only=True):
    """A way to get a program; `command` is what would be run."""

    id: str
    kind: str
    label: str
    bins: tuple[str, ...]
    command: str
    allowed: bool


class SkillShown(Result, frozen=True, kw_only=True):
    """One skill, and how the agent stands to it."""

    name: str
    description: str
    source: str
    bundled: bool
    file_path: str
    base_dir: str
    skill_key: str
    always: bool
    disabled: bool
    blocked_by_allowlist: bool
    blocked_by_agent_filter: bool
    eligible: bool
    platform_incompatible: bool
    model_visible: bool
    user_invocable: bool
    command_visible: bool
    requirements: NeedsShown
    missing: NeedsShown
    config_checks: tuple[SettingCheck, ...]
    install: tuple[InstallOption, ...]
    primary_env: str | None = None
    emoji: str | None = None
    homepage: str | None = None
    license: str | None = None
    allowed_tools: tuple[str, ...] = ()
    installed_from: str | None = None


class TroubleShown(Result, frozen=True, kw_only=True):
    """A folder that is no skill, or a doubt about one."""

    file_path: str
    message: str
    severity: str


class Status(Result, frozen=True, kw_only=True):
    """The skills of one agent."""

    workspace_dir: str
    managed_skills_dir: str
    skills: tuple[SkillShown, ...]
    agent_id: str | None = None
    agent_skill_filter: tuple[str, ...] | None = None
    issues: tuple[TroubleShown, ...] = ()


def skill_shown(standing: Standing, installers: InstallerSettings, platform: str) -> SkillShown:
    """Return a skill as clients see it."""
    skill, said = standing.skill, standing.skill.document
    gating = said.gating
    return SkillShown(
        name=skill.name,
        description=said.description,
        source=skill.source,
        bundled=skill.source == "openclaw-bundled",
        file_path=str(skill.file),
        base_dir=str(skill.folder),
        skill_key=skill.key,
        always=gating.always,
        disabled=standing.is_disabled,
        blocked_by_allowlist=standing.is_blocked,
        blocked_by_agent_filter=standing.is_filtered,
        eligible=standing.is_eligible,
        platform_incompatible=standing.is_foreign,
        model_visible=standing.is_listed,
        user_invocable=said.is_command,
        command_visible=False,
        requirements=_needs(gating.requires, gating.os),
        missing=_needs(standing.missing, gating.os if standing.is_foreign else ()),
        config_checks=tuple(SettingCheck(path, there) for path, there in standing.settings.items()),
        install=tuple(
            _option(option, installers) for option in options(skill, installers, platform)
        ),
        primary_env=gating.primary_env,
        emoji=gating.emoji,
        homepage=said.homepage or gating.homepage,
        license=said.license,
        allowed_tools=said.allowed_tools,
        installed_from=skill.origin.reference if skill.origin else None,
    )


def trouble_shown(trouble: Trouble) -> TroubleShown:
    """Return a trouble as clients see it."""
    return TroubleShown(
        file_path=str(trouble.file),
        message=trouble.message,
        severity="error" if trouble.is_fatal else "warning",
    )


def _needs(needs: Needs, os: tuple[str, ...]) -> NeedsShown:
    return NeedsShown(
        bins=needs.bins, any_bins=needs.any_bins, env=needs.env, config=needs.config, os=os
    )


def _option(option: Option, settings: InstallerSettings) -> InstallOption:
    return InstallOption(
        id=option.id,
        kind=option.kind,
        label=option.label,
        bins=option.bins,
        command=option.command,
        allowed=option.kind in settings.allowed,
    )
