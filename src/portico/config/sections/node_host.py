"""`nodeHost`: what this machine does as a node of a gateway (`portico node run`).

Source: OpenClaw configuration reference, section `nodeHost`. `exec` and `commands` are additions.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator

from portico.config.sections.base import Section, expand_home, group, setting

_COMMAND = re.compile(r"[a-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*)+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OWN_COMMANDS = frozenset(
    {
        "system.run",
        "system.run.prepare",
        "system.which",
        "system.execApprovals.get",
        "system.execApprovals.set",
    }
)
"""What the node host does itself."""


def _command_name(name: str) -> str:
    if not _COMMAND.fullmatch(name) or name.startswith("worker."):
        raise ValueError("a command is named like camera.snap")
    if name in OWN_COMMANDS:
        raise ValueError("the node host does this itself")
    return name


def _variable_name(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValueError("this is no name of an environment variable")
    return name


Variable = Annotated[str, AfterValidator(_variable_name)]
CommandName = Annotated[str, AfterValidator(_command_name)]
Word = Annotated[str, Field(min_length=1, max_length=4096)]


class NodeCommand(Section):
    """A command of this node that a program of this machine carries out."""

    run: tuple[Word, ...] = setting(
        ...,
        "The program and its arguments, never through a shell. `{name}` in an argument stands for "
        "the member of the command's parameters, `{name:value}` for one that may be missing, "
        "`{output}` for the file to write. All parameters are on stdin as JSON.",
        min_length=1,
        max_length=64,
        reload="none",
    )
    output: Literal["json", "file", "text"] = setting(
        "json",
        "What it writes: json: the answer; text: the answer's `text`; file: a picture, a sound or "
        "a film, answered as `{format, base64, …}`: the `{output}` file, else stdout.",
        reload="none",
    )
    timeout_ms: int = setting(30_000, "How long it may take.", ge=100, le=3_600_000, reload="none")
    max_bytes: int = setting(
        10_000_000, "The most it may write.", ge=1, le=18_000_000, reload="none"
    )

    @field_validator("run")
    @classmethod
    def _program_first(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if words and "{" in words[0]:
            raise ValueError("the program itself cannot be a parameter")
        return (str(expand_home(words[0])), *words[1:]) if words else words


class NodeExec(Section):
    """Programs that the gateway asks this machine to run (`system.run`)."""

    mode: Literal["deny", "allowlist", "ask", "full"] = setting(
        "ask",
        "deny: none. allowlist: those in the policy file (approvals.policyFile). ask: those, and "
        "what a person approves. full: as the policy file says, which may allow everything.",
        reload="none",
    )
    cwd: str | None = setting(None, "Where they start; unset: the home directory.", reload="none")
    env_allow: tuple[Variable, ...] = setting(
        ("LANG", "LC_ALL", "TZ", "TERM", "COLUMNS", "LINES", "NO_COLOR", "CI"),
        "Environment variables a caller may set.",
        reload="none",
    )
    env_pass: tuple[Variable, ...] = setting(
        ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"),
        "Variables of the node host's own environment that programs get; no others.",
        reload="none",
    )
    timeout_ms: int = setting(
        120_000,
        "How long a program may run when the caller does not say.",
        ge=100,
        le=86_400_000,
        reload="none",
    )
    longest_ms: int = setting(
        3_600_000,
        "How long it may run whatever the caller says.",
        ge=100,
        le=86_400_000,
        reload="none",
    )
    max_output_bytes: int = setting(
        200_000,
        "How much of each of its outputs is kept: the beginning and the end.",
        ge=1_000,
        le=8_000_000,
        reload="none",
    )
    approval_timeout_ms: int = setting(
        300_000,
        "How long a person has to approve a program.",
        ge=1_000,
        le=86_400_000,
        reload="none",
    )

    _cwd_at_home = field_validator("cwd")(expand_home)


class NodeHost(Section):
    """This machine as a node."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        {"mcp", "browserProxy", "skills", "workers", "agentRuns", "computerUse", "desktop"}
    )

    display_name: str | None = setting(
        None,
        "What the node is called; unset: the machine's name.",
        min_length=1,
        max_length=128,
        reload="none",
    )
    exec: NodeExec = group(NodeExec, "Programs the gateway asks this machine to run.")
    commands: dict[CommandName, NodeCommand] = setting(
        doc="Further commands, each carried out by a program of this machine, such as camera.snap.",
        default_factory=dict,
        max_length=100,
        reload="none",
    )
    max_running: int = setting(
        8, "Commands that may run at the same time; more are refused.", ge=1, le=256, reload="none"
    )
