"""From the configuration to what skills are built with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from portico.agents.service import Agents
from portico.agents.skills.folders import FolderLimits
from portico.agents.skills.installing.archive import SizeLimits
from portico.agents.skills.installing.installers import InstallerSettings
from portico.agents.skills.installing.rpc import SkillInstallMethods
from portico.agents.skills.installing.rules import InstallRules
from portico.agents.skills.installing.store import SkillStore
from portico.agents.skills.installing.uploads import Uploads
from portico.agents.skills.readiness import Entry, Host, SkillSettings
from portico.agents.skills.rpc import SkillMethods
from portico.agents.skills.service import Skills
from portico.agents.skills.updating import SkillUpdateMethods
from portico.agents.tools.toolbox import Toolbox
from portico.clock import Clock
from portico.config.keypath import get_at, parse_path
from portico.fetch import Fetched, Fetcher, FetchSettings

if TYPE_CHECKING:
    from portico.config import LoadedConfig
    from portico.config.live import Commit, LiveConfig
    from portico.config.model import PorticoConfig


def build_skills(
    live: LiveConfig,
    *,
    env: Mapping[str, str],
    clock: Clock,
    toolbox: Toolbox,
    workspace_of: Callable[[str], str | None],
    changed: Callable[[str], None],
) -> Skills:
    """Construct the skills and the tool they are read with, and let them follow the settings."""
    skills = Skills(
        settings=skill_settings(live.loaded.require()),
        host=skill_host(live, env),
        workspace_of=workspace_of,
        managed=live.loaded.paths.skills,
        clock=clock,
        changed=changed,
    )

    def tools() -> list[object]:
        from portico.agents.skills.toolset import skill_tools

        return skill_tools(skills=skills, workspace_of=workspace_of, clock=clock)

    toolbox.registry.add_later(tools)

    def stage(new: LoadedConfig) -> Commit:
        settings = skill_settings(new.require())
        return lambda: skills.obey(settings)

    live.follow("skills", "agents", stage=stage)
    return skills


def build_skill_methods(
    live: LiveConfig, *, skills: Skills, agents: Agents, clock: Clock, main_key: str
) -> list[object]:
    """Construct the RPC methods on skills."""

    def store() -> SkillStore:
        return skill_store(skills.settings, skills.managed, clock)

    async def fetch(url: str, max_bytes: int) -> Fetched:
        allowed = skills.settings.install.urls
        # Who is named by the operator may be in the operator's own network.
        hosts = tuple(entry.partition("/")[0] for entry in allowed)
        fetcher = Fetcher(FetchSettings(allowed_domains=allowed, private_hosts=hosts))
        try:
            return await fetcher.fetch(url, max_bytes=max_bytes)
        finally:
            await fetcher.close()

    return [
        SkillMethods(skills=skills, agents=agents, main_key=main_key),
        SkillUpdateMethods(skills=skills, agents=agents, live=live),
        SkillInstallMethods(
            skills=skills,
            store=store,
            uploads=Uploads(clock=clock),
            agents=agents,
            clock=clock,
            fetch=fetch,
        ),
    ]


def skill_store(settings: SkillSettings, folder: Path, clock: Clock) -> SkillStore:
    """Return the folder of installed skills, with the configured limits."""
    return SkillStore(folder, clock=clock, sizes=settings.install.sizes, limits=settings.limits)


def skill_settings(config: PorticoConfig) -> SkillSettings:
    """Return what is configured of skills."""
    skills = config.skills
    limits = skills.limits
    return SkillSettings(
        entries={
            key: Entry(given.enabled, given.api_key, given.env, given.config)
            for key, given in skills.entries.items()
        },
        allow_bundled=frozenset(skills.allow_bundled),
        extra_dirs=skills.load.extra_dirs,
        watch=skills.load.watch,
        only_for=_only_for(config),
        limits=FolderLimits(
            limits.max_candidates_per_root,
            limits.max_skills_loaded_per_source,
            limits.max_skill_file_bytes,
        ),
        max_listed=limits.max_skills_in_prompt,
        max_list_chars=limits.max_skills_prompt_chars,
        install=_install_rules(config),
    )


def _only_for(config: PorticoConfig) -> dict[str, frozenset[str]]:
    agents = config.agents
    wanted = {
        entry.id: agents.defaults.skills if entry.skills is None else entry.skills
        for entry in agents.roster()
    }
    return {agent: frozenset(names) for agent, names in wanted.items() if names is not None}


def _install_rules(config: PorticoConfig) -> InstallRules:
    install = config.skills.install
    return InstallRules(
        uploads=install.allow_uploaded_archives,
        paths=install.allow_paths,
        urls=install.allow_urls,
        sizes=SizeLimits(install.max_files, install.max_bytes),
        installers=InstallerSettings(
            frozenset(install.allow_installers), install.node_manager, install.prefer_brew
        ),
    )


def skill_host(live: LiveConfig, env: Mapping[str, str]) -> Host:
    """Return the machine skills are on."""

    def has_setting(path: str) -> bool:
        try:
            return bool(get_at(live.loaded.resolved, parse_path(path)))
        except (KeyError, ValueError):
            return False

    return Host(sys.platform, env, has_setting)
