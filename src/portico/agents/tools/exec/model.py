"""What is configured of running programs, and what a program gets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Security = Literal["deny", "allowlist", "full"]
Ask = Literal["off", "on-miss", "always"]
Host = Literal["sandbox", "gateway", "node"]
Engine = Literal["bubblewrap", "podman", "docker"]


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """What a program in the sandbox has.

    Attributes:
        has_network: it reaches the network, this machine's included.
        is_read_only: it cannot change the workspace.
        paths: what else of this machine it can read.
        engine: what makes the sandbox; the others than bubblewrap run containers.
        image: what a container is made of; it holds the programs.
        memory_mb, most_processes: what a container may use.
    """

    has_network: bool = False
    is_read_only: bool = False
    paths: tuple[str, ...] = ()
    engine: Engine = "bubblewrap"
    image: str | None = None
    memory_mb: int = 1_024
    most_processes: int = 256

    @property
    def is_container(self) -> bool:
        """Whether programs are those of an image, not of this machine."""
        return self.engine != "bubblewrap"


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

    @property
    def in_container(self) -> bool:
        """Whether commands run in a container."""
        return self.host == "sandbox" and self.sandbox.is_container


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
