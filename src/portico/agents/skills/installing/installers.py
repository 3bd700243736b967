"""Getting the programs a skill needs: with the package manager its author named.

Guarantees: nothing is run that the operator has not allowed by kind; the command is shown before
and is run exactly so, without a shell; a name that could be read as an option or an address is
refused.

Source: OpenClaw, "Installer specs".
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from portico.agents.skills.model import Installer, Skill
from portico.process.programs import Finished, run_program

MAX_OUTPUT_BYTES = 64_000
_PREFERENCE: tuple[str, ...] = ("brew", "uv", "node", "go")
_NAME = re.compile(r"[A-Za-z0-9@][A-Za-z0-9@._/+=~\[\]-]{0,199}")
_NODE: Mapping[str, tuple[str, ...]] = {
    "npm": ("npm", "install", "-g", "--ignore-scripts"),
    "pnpm": ("pnpm", "add", "-g", "--ignore-scripts"),
    "yarn": ("yarn", "global", "add", "--ignore-scripts"),
    "bun": ("bun", "add", "-g", "--ignore-scripts"),
}


@dataclass(frozen=True, slots=True)
class InstallerSettings:
    """What may be run.

    Attributes:
        allowed: kinds; empty: none, and the operator runs the command himself.
        node_manager: npm, pnpm, yarn or bun.
        prefer_brew: brew comes first where there are several ways.
    """

    allowed: frozenset[str] = frozenset()
    node_manager: str = "npm"
    prefer_brew: bool = True


@dataclass(frozen=True, slots=True)
class Option:
    """One way to get what a skill lacks, on this machine.

    Attributes:
        argv: what would be run.
    """

    id: str
    kind: str
    label: str
    bins: tuple[str, ...]
    argv: tuple[str, ...]

    @property
    def command(self) -> str:
        """What would be run, as one would type it."""
        return shlex.join(self.argv)


def options(skill: Skill, settings: InstallerSettings, platform: str) -> list[Option]:
    """Return the ways to get what a skill needs, the preferred one first."""
    order = _PREFERENCE if settings.prefer_brew else (*_PREFERENCE[1:], _PREFERENCE[0])
    found: list[Option] = []
    for number, installer in enumerate(skill.document.gating.install):
        argv = _argv(installer, settings)
        if argv is None or (installer.os and platform not in installer.os):
            continue
        found.append(
            Option(
                id=installer.id or f"{installer.kind}-{number}",
                kind=installer.kind,
                label=installer.label or f"Install {argv[-1]} ({argv[0]})",
                bins=installer.bins,
                argv=argv,
            )
        )
    return sorted(found, key=lambda option: order.index(option.kind))


def _argv(installer: Installer, settings: InstallerSettings) -> tuple[str, ...] | None:
    """Return the command; `None`: it is of no kind we know, or does not say what to get."""
    known: Mapping[str, tuple[str | None, tuple[str, ...]]] = {
        "brew": (installer.formula, ("brew", "install")),
        "node": (installer.package, _NODE[settings.node_manager]),
        "uv": (installer.package, ("uv", "tool", "install")),
        "go": (installer.module, ("go", "install")),
    }
    name, command = known.get(installer.kind, (None, ()))
    return (*command, name) if name and _NAME.fullmatch(name) else None


async def run_option(option: Option, env: Mapping[str, str], *, timeout_s: float) -> Finished:
    """Run an installer to its end.

    Raises:
        ProgramMissing: the package manager is not here.
        ProgramTooSlow: it took too long.
    """
    return await run_program(
        option.argv, env=env, timeout_s=timeout_s, max_output_bytes=MAX_OUTPUT_BYTES
    )
