"""The skills of every agent: which there are, what a model is told of them, and their files.

Guarantees: a change on disk is noticed within `FRESH_S`; looking happens in a thread, once at a
time; what a model is told stays the same, word for word, while the skills do (providers remember
the beginning of a prompt, and charge less for it). A file outside its skill's folder is not read.

Not here: putting skills there (install.py).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import structlog

from portico.agents.runtime import Turn
from portico.agents.skills.folders import Found, Root, Shelf, look
from portico.agents.skills.frontmatter import body
from portico.agents.skills.model import FILE, Skill, Trouble
from portico.agents.skills.readiness import Host, SkillSettings, Standing, judge, variables
from portico.agents.tools.contract import ToolError
from portico.agents.tools.toolbox import TurnTools
from portico.clock import Clock
from portico.config.redaction import redact

log = structlog.get_logger()

BUNDLED = Path(__file__).parent / "bundled"
FRESH_S = 2.0
MAX_FILE_BYTES = 256_000
MAX_FILES_SHOWN = 100
SKILL_READ = "skill_read"

_HEAD = (
    "# Skills\n\n"
    f"Instructions for certain jobs. When a request is one of them, call {SKILL_READ} with the "
    "skill's name first, and do what it says. Otherwise leave them alone.\n"
)
_CONFIGURED = re.compile(r"\{config\.([A-Za-z][A-Za-z0-9_]{0,63})\}")
_CUTS = (1_024, 300, 120, 0)  # how much of each description is told, as far as it fits


@dataclass(frozen=True, slots=True)
class Inventory:
    """What one agent has.

    Attributes:
        workspace: the agent's folder; `None`: it has none.
    """

    agent_id: str
    workspace: Path | None
    standings: tuple[Standing, ...] = ()
    troubles: tuple[Trouble, ...] = ()

    def find(self, name: str) -> Standing | None:
        """Return a skill by its name, or by its key."""
        by_name = (s for s in self.standings if s.skill.name == name)
        by_key = (s for s in self.standings if s.skill.key == name)
        return next(by_name, None) or next(by_key, None)


@dataclass(frozen=True, slots=True)
class _Looked:
    at_s: float
    found: Found


class Skills:
    """Looks skills up.

    Args:
        workspace_of: from an agent's id to its folder.
        managed: where installed skills are.
        changed: called, with a reason, when skills were added, changed or taken away.
    """

    def __init__(
        self,
        *,
        settings: SkillSettings,
        host: Host,
        workspace_of: Callable[[str], str | None],
        managed: Path,
        clock: Clock,
        bundled: Path = BUNDLED,
        changed: Callable[[str], None] | None = None,
    ) -> None:
        self._settings = settings
        self._host = host
        self._workspace_of = workspace_of
        self.managed = managed
        self._bundled = bundled
        self._clock = clock
        self._changed = changed
        self._shelves: dict[Root, Shelf] = {}
        self._looked: dict[tuple[Root, ...], _Looked] = {}
        self._looking = asyncio.Lock()

    @property
    def settings(self) -> SkillSettings:
        """What is configured now."""
        return self._settings

    @property
    def host(self) -> Host:
        """The machine the skills are on."""
        return self._host

    def obey(self, settings: SkillSettings) -> None:
        """Follow other settings from now on."""
        if settings == self._settings:
            return
        self._settings = settings
        self._shelves.clear()
        self._looked.clear()
        self._tell("config-change")

    def forget(self) -> None:
        """Look anew the next time: skills were put there or taken away."""
        self._looked.clear()
        self._tell("manual")

    async def inventory(self, agent_id: str, *, fresh: bool = False) -> Inventory:
        """Return what an agent has.

        Args:
            fresh: as it is on disk this moment.
        """
        workspace = self._workspace(agent_id)
        found = await self._found(self._roots(workspace), fresh=fresh)
        settings, host = self._settings, self._host

        def judged() -> tuple[Standing, ...]:
            return tuple(judge(skill, agent_id, settings, host) for skill in found.skills)

        standings = await asyncio.to_thread(judged) if found.skills else ()
        return Inventory(agent_id, workspace, standings, found.troubles)

    async def instructions(self, turn: Turn, tools: TurnTools) -> str:
        """Return what a model is told of an agent's skills; nothing when it cannot read them."""
        if tools.find(SKILL_READ) is None:
            return ""
        inventory = await self.inventory(turn.agent_id)
        listed = [standing.skill for standing in inventory.standings if standing.is_listed]
        return listing(listed, self._settings)

    async def read(self, agent_id: str, name: str, file: str | None = None) -> str:
        """Return the instructions of a skill, or another file of its folder.

        In the instructions `{baseDir}` is the folder, and `{config.x}` what is configured as `x` in
        the skill's entry, but for secrets.

        Raises:
            ToolError: there is no such skill or file, or the agent may not use it.
        """
        standing = (await self.inventory(agent_id)).find(name)
        if standing is None or not standing.is_usable:
            raise ToolError(f"There is no skill {name} here, or it is not ready to be used.")
        if file is None or file == FILE:
            config = self._settings.entry(standing.skill).config
            return await asyncio.to_thread(_instructions, standing.skill, config)
        return await asyncio.to_thread(_other_file, standing.skill, file)

    async def source(self, skill: Skill) -> str:
        """Return a skill's SKILL.md as it stands.

        Raises:
            ToolError: it cannot be read.
        """
        return await asyncio.to_thread(_text, skill.file)

    async def variables(self, agent_id: str) -> dict[str, str]:
        """Return the environment variables of the skills an agent may use, for what it runs."""
        inventory = await self.inventory(agent_id)
        given: dict[str, str] = {}
        for standing in inventory.standings:
            if standing.is_usable:
                for name, value in variables(
                    standing.skill, self._settings.entry(standing.skill)
                ).items():
                    given.setdefault(name, value)
        return given

    async def _found(self, roots: tuple[Root, ...], *, fresh: bool) -> Found:
        async with self._looking:
            looked = self._looked.get(roots)
            if looked is not None and not fresh and not self._is_old(looked):
                return looked.found
            shelves = [self._shelf(root) for root in roots]
            found = await asyncio.to_thread(look, shelves)
            self._looked[roots] = _Looked(self._clock.monotonic_s(), found)
        if looked is not None and looked.found != found:
            log.info("skills.changed", skills=[skill.name for skill in found.skills])
            self._tell("watch")
        return found

    def _is_old(self, looked: _Looked) -> bool:
        return self._settings.watch and self._clock.monotonic_s() - looked.at_s >= FRESH_S

    def _workspace(self, agent_id: str) -> Path | None:
        given = self._workspace_of(agent_id)
        return Path(given).expanduser() if given else None

    def _roots(self, workspace: Path | None) -> tuple[Root, ...]:
        own = (
            (
                Root(workspace / "skills", "openclaw-workspace"),
                Root(workspace / ".agents" / "skills", "agents-skills-project"),
            )
            if workspace
            else ()
        )
        extra = (Root(Path(p).expanduser(), "openclaw-extra") for p in self._settings.extra_dirs)
        shared = (
            Root(self.managed, "openclaw-managed"),
            Root(self._bundled, "openclaw-bundled"),
        )
        return (*own, *shared, *extra)

    def _shelf(self, root: Root) -> Shelf:
        return self._shelves.setdefault(root, Shelf(root, self._settings.limits))

    def _tell(self, reason: str) -> None:
        if self._changed is not None:
            self._changed(reason)


def listing(skills: Sequence[Skill], settings: SkillSettings) -> str:
    """Return the list a model is told: names, and as much of the descriptions as fits."""
    shown = skills[: settings.max_listed]
    if not shown:
        return ""
    texts = ("\n".join((_HEAD, *(_line(skill, cut) for skill in shown))) for cut in _CUTS)
    fitting = next((text for text in texts if len(text) <= settings.max_list_chars), None)
    return fitting or _fewer(shown, settings.max_list_chars)


def _line(skill: Skill, most: int) -> str:
    said = skill.document.description
    if most == 0:
        return f"- {skill.name}"
    return f"- {skill.name}: {said if len(said) <= most else f'{said[: most - 1].rstrip()}…'}"


def _fewer(skills: Sequence[Skill], most: int) -> str:
    text = "\n".join((_HEAD, *(_line(skill, 0) for skill in skills)))
    return text[: most + 1].rpartition("\n")[0] if most > len(_HEAD) else ""


def _instructions(skill: Skill, config: Mapping[str, Any]) -> str:
    def configured(found: re.Match[str]) -> str:
        value = config.get(found[1])
        if value is None:
            return "(nothing is configured)"
        return json.dumps(redact({found[1]: value})[found[1]], ensure_ascii=False)

    text = body(_text(skill.file)).replace("{baseDir}", str(skill.folder))
    text = _CONFIGURED.sub(configured, text)
    others = files_of(skill.folder)
    more = f"\n\nOther files of this skill: {', '.join(others)}" if others else ""
    return f"{text}{more}"


def _other_file(skill: Skill, name: str) -> str:
    path = _inside(skill.folder, PurePosixPath(name))
    if path is None:
        raise ToolError(f"The skill {skill.name} has no file {name[:200]}.")
    return _text(path)


def _inside(folder: Path, name: PurePosixPath) -> Path | None:
    """Return a file of a folder; `None`: it has none of that name, or it is somewhere else."""
    if any(part.startswith(".") for part in name.parts):
        return None
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None
    except (OSError, ValueError):  # a name no file can have
        return None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError:
        raise ToolError(f"{path.name} cannot be read.") from None
    if len(content) > MAX_FILE_BYTES:
        raise ToolError(f"{path.name} is larger than {MAX_FILE_BYTES} bytes.")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ToolError(f"{path.name} is not a text file.") from None


def files_of(folder: Path) -> list[str]:
    """Return the names of a skill's other files, at most `MAX_FILES_SHOWN`."""
    found: list[str] = []
    for top, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = (Path(top) / name).relative_to(folder).as_posix()
            if path != FILE and not name.startswith("."):
                found.append(path)
            if len(found) == MAX_FILES_SHOWN:
                return found
    return found
