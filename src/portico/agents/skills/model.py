"""A skill, as its folder declares it.

Source: the Agent Skills specification (agentskills.io, "Specification"); OpenClaw, "Skills", for
`metadata.openclaw` and the order of sources.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

FILE = "SKILL.md"
MAX_NAME_CHARS = 64
MAX_DESCRIPTION_CHARS = 1_024
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")

Source = Literal[
    "openclaw-workspace",
    "agents-skills-project",
    "openclaw-managed",
    "openclaw-bundled",
    "openclaw-extra",
]
"""Where a skill is from, in the words clients group by."""


def is_skill_name(text: str) -> bool:
    """Whether a text may name a skill: lower-case letters, digits and single hyphens between."""
    return len(text) <= MAX_NAME_CHARS and _NAME.fullmatch(text) is not None


class Needs(msgspec.Struct, frozen=True, rename="camel"):
    """What must be there before a skill is of use.

    Attributes:
        bins: programs on the path, all of them.
        any_bins: programs of which one is enough.
        env: environment variables, set for the gateway or for the skill.
        config: settings that must be there and not empty or false.
    """

    bins: tuple[str, ...] = ()
    any_bins: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    config: tuple[str, ...] = ()


class Installer(msgspec.Struct, frozen=True, rename="camel"):
    """A way to get a program a skill needs."""

    kind: str
    id: str | None = None
    label: str | None = None
    bins: tuple[str, ...] = ()
    os: tuple[str, ...] = ()
    formula: str | None = None
    package: str | None = None
    module: str | None = None


class Gating(msgspec.Struct, frozen=True, rename="camel"):
    """`metadata.openclaw` of a SKILL.md. What is not known here is ignored.

    Attributes:
        always: only the operating system counts, no other need.
        skill_key: its name under `skills.entries`, when that is not its own.
        primary_env: the variable `apiKey` is for.
        os: `darwin`, `linux` or `win32`; empty: all.
    """

    always: bool = False
    emoji: str | None = None
    homepage: str | None = None
    skill_key: str | None = None
    primary_env: str | None = None
    os: tuple[str, ...] = ()
    requires: Needs = msgspec.field(default_factory=Needs)
    install: tuple[Installer, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """What stands in a SKILL.md.

    Attributes:
        allowed_tools: tools its author had in mind; granting them is the policy's business.
        is_listed: the model is told of it.
        is_command: people may name it themselves.
        warnings: what could not be used, each in a sentence.
    """

    name: str
    description: str
    gating: Gating = field(default_factory=Gating)
    license: str | None = None
    compatibility: str | None = None
    homepage: str | None = None
    allowed_tools: tuple[str, ...] = ()
    is_listed: bool = True
    is_command: bool = True
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """From where a skill was installed; the gateway writes it, never the skill.

    Attributes:
        kind: `path`: from this machine; `url` or `upload`: from elsewhere.
        reference: the path or address, without credentials.
        sha256: of the archive.
    """

    kind: Literal["path", "url", "upload"]
    reference: str
    installed_at: int
    sha256: str | None = None

    @property
    def is_from_elsewhere(self) -> bool:
        """Whether somebody other than the operator may have written it."""
        return self.kind != "path"


@dataclass(frozen=True, slots=True)
class Skill:
    """One skill that was found.

    Attributes:
        folder: with every link in its path resolved.
    """

    document: Document
    folder: Path
    source: Source
    origin: Origin | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return self.document.name

    @property
    def key(self) -> str:
        """Its name under `skills.entries`."""
        return self.document.gating.skill_key or self.document.name

    @property
    def file(self) -> Path:
        """Its SKILL.md."""
        return self.folder / FILE


@dataclass(frozen=True, slots=True)
class Trouble:
    """A folder that could not be taken as a skill, or a doubt about one that was."""

    file: Path
    message: str
    is_fatal: bool = True
