"""What an agent that is a program is started and held with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Permission = Literal["ask", "allow", "deny"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcpSettings:
    """One such agent.

    Attributes:
        command: the program and its arguments; a bare name is looked up in `PATH`.
        env: everything the program's environment holds.
        cwd: where it works; made when it is missing and `makes_cwd`.
        permission: what its requests for permission get.
        auth_method: the id of the way it is told to log in by; `None`: it is logged in.
        startup_s: for its start, the handshake and a session.
        silence_s: the longest it may say nothing while it answers and nobody is asked anything.
        idle_s: how long a program that has nothing to do is kept.
        cancel_s: how long a cancelled program may take before it is killed.
        max_processes: how many programs of this agent run at the same time.
        approval_s: how long a person has to decide.
    """

    command: tuple[str, ...]
    cwd: str
    makes_cwd: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    permission: Permission = "ask"
    auth_method: str | None = None
    startup_s: float = 60.0
    silence_s: float = 300.0
    idle_s: float = 600.0
    cancel_s: float = 5.0
    max_processes: int = 4
    approval_s: float = 1800.0


_INHERITED = (
    "HOME LANG LANGUAGE LC_ALL LC_CTYPE LOGNAME PATH SHELL TERM TMPDIR TZ USER "
    "XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME"
)


def program_env(ours: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return a program's environment: nothing of the gateway's secrets, and what it is given."""
    return {name: ours[name] for name in _INHERITED.split() if name in ours} | dict(own)
