"""What is configured of running programs, and what a program gets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Security = Literal["deny", "allowlist", "full"]
Ask = Literal["off", "on-miss", "always"]
Host = Literal["sandbox", "gateway", "node"]


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """What a program in the sandbox has.

    Attributes:
        has_network: it reaches the network, this machine's included.
        is_read_only: it cannot change the workspace.
        paths: what else of this machine it can read.
    """

    has_network: bool = False
    is_read_only: bool = False
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExecSettings:
    """How one agent runs programs.

    Attributes:
        security: `deny`: not at all; `allowlist`: what the policy file lists; `full`: anything it
            does not forbid.
        ask: when a person is asked: never, for what is not listed, always.
        shell: a command is given to `/bin/sh`, in place of being split into words.
        longest_s: the longest a command may take.
        max_output_bytes: of each output, what is kept.
    """

    host: Host = "sandbox"
    security: Security = "deny"
    ask: Ask = "on-miss"
    shell: bool = False
    longest_s: float = 1_800.0
    max_output_bytes: int = 20_000
    sandbox: SandboxSettings = SandboxSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command as it will run.

    Attributes:
        text: what a person reads of it.
        workspace: what it may see in a sandbox.
        cwd: where it begins; in the workspace.
    """

    argv: tuple[str, ...]
    text: str
    workspace: Path
    cwd: Path
    env: dict[str, str]
