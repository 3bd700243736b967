"""`skills`: folders of instructions for agents.

Source: OpenClaw configuration reference, section `skills`; `install.allow…` but for
`allowUploadedArchives` are ours.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from portico.config.sections.base import Section, group, setting


class SkillEntry(Section):
    """One skill."""

    enabled: bool | None = setting(
        None,
        "false: not used. A skill that was installed from elsewhere is used only when this is "
        "true.",
        reload="hot",
    )
    api_key: str | None = setting(
        None, "Value of the variable the skill names as primaryEnv.", reload="hot", secret=True
    )
    env: dict[str, str] = setting(
        doc="Environment variables for what the skill has run.",
        reload="hot",
        secret=True,
        default_factory=dict,
    )
    config: dict[str, Any] = setting(
        doc="What the skill's tools read; see the skill.", reload="hot", default_factory=dict
    )


class SkillLoad(Section):
    """Where skills are looked for."""

    not_used: ClassVar[frozenset[str]] = frozenset({"watchDebounceMs", "allowSymlinkTargets"})

    extra_dirs: tuple[str, ...] = setting(
        (), "More folders of skills; those of the same name elsewhere win.", reload="hot"
    )
    watch: bool = setting(
        True, "Notice changes on disk; else skills stay as they were first found.", reload="hot"
    )


class SkillInstall(Section):
    """What may be installed through the gateway. `portico skills install` needs none of it."""

    not_used: ClassVar[frozenset[str]] = frozenset({"allowUnsafe"})

    allow_uploaded_archives: bool = setting(
        False,
        "Archives that clients upload; they are not used before they are enabled.",
        reload="hot",
    )
    allow_paths: bool = setting(
        False, "Folders and archives of the gateway's machine.", reload="hot"
    )
    allow_urls: tuple[str, ...] = setting(
        (),
        "Where archives may be downloaded from: host or host/path, sub-domains included. They "
        "are not used before they are enabled.",
        reload="hot",
    )
    max_files: int = setting(256, "Files of one skill.", reload="hot", ge=1)
    max_bytes: int = setting(
        8_388_608, "Bytes of one skill, and of its archive.", reload="hot", ge=1_000
    )
    allow_installers: tuple[Literal["brew", "node", "uv", "go"], ...] = setting(
        (), "Package managers that may get the programs a skill needs.", reload="hot"
    )
    prefer_brew: bool = setting(True, "brew first, where there are several ways.", reload="hot")
    node_manager: Literal["npm", "pnpm", "yarn", "bun"] = setting(
        "npm", "Which one installs node packages.", reload="hot"
    )


class SkillLimits(Section):
    """How much of skills is looked at and told."""

    max_candidates_per_root: int = setting(
        300, "Folders looked at, of each root.", reload="hot", ge=1
    )
    max_skills_loaded_per_source: int = setting(200, "Skills of each root.", reload="hot", ge=1)
    max_skills_in_prompt: int = setting(150, "Skills a model is told of.", reload="hot", ge=0)
    max_skills_prompt_chars: int = setting(18_000, "How long that list may be.", reload="hot", ge=0)
    max_skill_file_bytes: int = setting(256_000, "The largest SKILL.md.", reload="hot", ge=1_000)


class Skills(Section):
    """Skills."""

    not_used: ClassVar[frozenset[str]] = frozenset({"workshop", "curator", "library"})

    allow_bundled: tuple[str, ...] = setting(
        (), "Where there is any, no other skill that comes with Portico is used.", reload="hot"
    )
    load: SkillLoad = group(SkillLoad, "Where skills are looked for.")
    install: SkillInstall = group(SkillInstall, "What may be installed through the gateway.")
    limits: SkillLimits = group(SkillLimits, "How much of skills is looked at and told.")
    entries: dict[str, SkillEntry] = setting(
        doc="What is set for single skills, by name.", reload="hot", default_factory=dict
    )
