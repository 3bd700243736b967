"""`portico skills list | info | check | install | remove | enable | disable`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from portico.cli.command import HERE, THERE, Local, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import note, print_fields, print_json, print_table
from portico.cli.target import connected, paths_of, resolve_target

if TYPE_CHECKING:
    from portico.agents.skills.installing.store import Installed, SkillStore

_KINDS: Final = ("bins", "anyBins", "env", "config", "os")
_SOURCES: Final = {
    "openclaw-workspace": "workspace",
    "agents-skills-project": "workspace (.agents)",
    "openclaw-managed": "installed",
    "openclaw-bundled": "bundled",
    "openclaw-extra": "extra folder",
}


@command("list")
async def list_skills(
    *, eligible: bool = False, agent: str | None = None, to: Remote = THERE
) -> int:
    """List skills, and which can be used.

    Args:
        eligible: Only those that can be used.
        agent: Those of this agent.

    Examples:
        portico skills list
        portico skills list --eligible --agent support
    """
    status = await _status(agent, to)
    skills = [skill for skill in status["skills"] if skill["eligible"] or not eligible]
    if to.json:
        print_json({**status, "skills": skills})
        return ExitCode.OK
    rows = [
        (skill["name"], _standing(skill), _source(skill), skill["description"]) for skill in skills
    ]
    print_table(("Skill", "Standing", "From", "For"), rows)
    _note_issues(status)
    return ExitCode.OK


@command("info")
async def info(name: str, /, *, agent: str | None = None, to: Remote = THERE) -> int:
    """Show one skill, and what it needs.

    Args:
        name: The skill.
        agent: As this agent has it.

    Examples:
        portico skills info daily-briefing
        portico skills info daily-briefing --json
    """
    skill = _find(await _status(agent, to), name)
    if to.json:
        print_json(skill)
        return ExitCode.OK
    print_fields(
        (
            ("Skill", skill["name"]),
            ("For", skill["description"]),
            ("Standing", _standing(skill)),
            ("From", _source(skill)),
            ("Installed from", skill.get("installedFrom")),
            ("File", skill["filePath"]),
            ("Settings", f'skills.entries["{skill["skillKey"]}"]'),
            ("Needs", _needs(skill["requirements"]) or "nothing"),
            ("Missing", _needs(skill["missing"]) or None),
            ("Licence", skill.get("license")),
            ("Website", skill.get("homepage")),
        )
    )
    for option in skill["install"]:
        print(f"{option['label']}:\n    {option['command']}")
    return ExitCode.OK


@command("check")
async def check(*, agent: str | None = None, to: Remote = THERE) -> int:
    """Say which skills lack something, and what.

    Args:
        agent: Those of this agent.

    Examples:
        portico skills check
        portico skills check --agent support --json
    """
    status = await _status(agent, to)
    skills = status["skills"]
    lacking = [skill for skill in skills if _needs(skill["missing"]) and not skill["disabled"]]
    told = [skill["name"] for skill in skills if skill["modelVisible"]]
    if to.json:
        print_json(
            {
                "agentId": status.get("agentId"),
                "total": len(skills),
                "visible": told,
                "missing": [
                    {"name": skill["name"], "missing": skill["missing"]} for skill in lacking
                ],
                "disabled": [skill["name"] for skill in skills if skill["disabled"]],
                "issues": status.get("issues", []),
            }
        )
        return ExitCode.OK
    print(f"{len(told)} of {len(skills)} skills can be used.")
    for skill in lacking:
        print(f"{skill['name']}: missing {_needs(skill['missing'])}")
        for option in skill["install"]:
            print(f"    {option['command']}")
    _note_issues(status)
    return ExitCode.OK


@command("install")
async def install(
    source: str,
    /,
    *,
    as_: str | None = None,
    force: bool = False,
    sha256: str | None = None,
    enable: bool = False,
    here: Local = HERE,
) -> int:
    """Install a skill for every agent of this machine.

    From a folder with a SKILL.md, or a .zip or .tar.gz of one. What comes from an address is not
    used before it is enabled: read it first.

    Args:
        source: A folder, an archive, or the https address of an archive.
        as_: Name of its folder, instead of its own.
        force: Replace the skill of this name.
        sha256: What the archive must hash to.
        enable: Use it at once.

    Examples:
        portico skills install ./my-skill
        portico skills install ~/Downloads/hat.zip --as hat
        portico skills install https://example.org/hat.tar.gz --sha256 9f86d0…
    """
    from portico.agents.skills.installing.store import NotInstalled

    store = _store(here)
    try:
        if source.startswith(("https://", "http://")):
            done = await _install_url(store, source, as_, force=force, sha256=sha256)
        else:
            done = await asyncio.to_thread(_put_path, store, source, as_, force=force)
    except NotInstalled as error:
        raise _not_installed(str(error)) from None
    name = done.skill.key
    waits = bool(done.skill.origin and done.skill.origin.is_from_elsewhere) and not enable
    if enable:
        await _switch(name, Remote(config=here.config, state_dir=here.state_dir), on=True)
    if here.json:
        facts = {"name": done.skill.name, "path": str(done.skill.folder)}
        print_json({**facts, "replaced": done.replaced, "disabled": waits})
        return ExitCode.OK
    print(f"{'Replaced' if done.replaced else 'Installed'} {done.skill.name}: {done.skill.folder}")
    if waits:
        print(f"Read {done.skill.file}; then: portico skills enable {name}")
    return ExitCode.OK


@command("remove")
def remove(name: str, /, *, here: Local = HERE) -> int:
    """Remove an installed skill.

    Args:
        name: Its folder's name.

    Examples:
        portico skills remove hat
    """
    removed = _store(here).remove(name)
    if not removed:
        raise _no_such_skill(name, "Only installed skills can be removed")
    if here.json:
        print_json({"removed": name})
    else:
        print(f"Removed {name}.")
    return ExitCode.OK


@command("enable")
async def enable(name: str, /, *, to: Remote = THERE) -> int:
    """Let agents use a skill.

    Args:
        name: The skill.

    Examples:
        portico skills enable hat
    """
    return await _switched(name, to, on=True)


@command("disable")
async def disable(name: str, /, *, to: Remote = THERE) -> int:
    """Do not let agents use a skill.

    Args:
        name: The skill.

    Examples:
        portico skills disable hat
    """
    return await _switched(name, to, on=False)


async def _switched(name: str, to: Remote, *, on: bool) -> int:
    is_live = await _switch(name, to, on=on)
    if to.json:
        print_json({"skillKey": name, "enabled": on, "running": is_live})
        return ExitCode.OK
    print(f"{'Enabled' if on else 'Disabled'} {name}.")
    if not is_live:
        note("The gateway is not running; this counts when it starts.")
    return ExitCode.OK


async def _switch(name: str, to: Remote, *, on: bool) -> bool:
    """Switch a skill in the running gateway, else in the configuration; say which it was."""
    from portico.client.errors import Unreachable
    from portico.config import set_value
    from portico.config.keypath import format_path

    target = resolve_target(to)
    try:
        async with connected(to, target=target) as client:
            params = {"skillKey": name, "enabled": on}
            await client.request("skills.update", params, timeout_s=to.timeout_s)
        return True
    except Unreachable:
        if not target.is_own:
            raise
    path = format_path(("skills", "entries", name, "enabled"))
    set_value(paths_of(to), path, on, env=os.environ)
    return False


def _put_path(store: SkillStore, source: str, name: str | None, *, force: bool) -> Installed:
    return store.put_path(Path(source).expanduser().absolute(), name=name, force=force)


async def _install_url(
    store: SkillStore, url: str, name: str | None, *, force: bool, sha256: str | None
) -> Installed:
    from portico.agents.skills.model import Origin
    from portico.clock import SystemClock
    from portico.fetch import Fetcher, FetchRefused, FetchSettings

    if sha256 is None and not url.startswith("https://"):
        raise Failure(
            "An address without https:// can be read and changed on the way.",
            code="usage.url",
            next_step="Say what the archive must be: --sha256",
            exit_code=ExitCode.USAGE,
        )
    fetcher = Fetcher(FetchSettings(allow_private=True))  # whoever is at the terminal named it
    try:
        fetched = await fetcher.fetch(url, max_bytes=store.sizes.max_bytes)
    except FetchRefused as error:
        raise _not_installed(f"It was not downloaded: {error}.") from None
    finally:
        await fetcher.close()
    origin = Origin("url", url, SystemClock().now_ms())
    return await asyncio.to_thread(
        store.put_archive, fetched.body, origin, name=name, force=force, sha256=sha256
    )


def _store(here: Local) -> SkillStore:
    from portico.agents.skills.configured import skill_settings, skill_store
    from portico.clock import SystemClock
    from portico.config import load

    loaded = load(paths_of(here), env=os.environ)
    return skill_store(skill_settings(loaded.require()), loaded.paths.skills, SystemClock())


async def _status(agent: str | None, to: Remote) -> dict[str, Any]:
    async with connected(to) as client:
        params = {} if agent is None else {"agentId": agent}
        found: dict[str, Any] = await client.request(
            "skills.status", params, timeout_s=to.timeout_s
        )
    return found


def _find(status: dict[str, Any], name: str) -> dict[str, Any]:
    for key in ("name", "skillKey"):
        for skill in status["skills"]:
            if skill[key] == name:
                return dict(skill)
    raise _no_such_skill(name, "See which there are: portico skills list")


def _no_such_skill(name: str, next_step: str) -> Failure:
    return Failure(
        f"There is no skill {name}.",
        code="skill.not_found",
        next_step=next_step,
        exit_code=ExitCode.REFUSED,
    )


def _not_installed(message: str) -> Failure:
    return Failure(message, code="skill.not_installed", exit_code=ExitCode.REFUSED)


def _standing(skill: dict[str, Any]) -> str:
    if skill["disabled"]:
        return "disabled"
    if skill["blockedByAllowlist"] or skill["blockedByAgentFilter"]:
        return "not allowed"
    if not skill["eligible"]:
        return "lacks something"
    return "ready"


def _source(skill: dict[str, Any]) -> str:
    return _SOURCES.get(skill["source"], str(skill["source"]))


def _needs(needs: dict[str, Any]) -> str:
    return "; ".join(f"{kind}: {', '.join(needs[kind])}" for kind in _KINDS if needs.get(kind))


def _note_issues(status: dict[str, Any]) -> None:
    for issue in status.get("issues", []):
        note(f"{issue['severity']}: {issue['filePath']}: {issue['message']}")
