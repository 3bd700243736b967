"""Checks of what answers for agents."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from portico.cli.doctor.model import Finding, Level, Patient, fine

if TYPE_CHECKING:
    from portico.config.sections.agents import RuntimeConfig

CHECK = "agents.acp"


def programs(patient: Patient) -> Iterator[Finding]:
    """Are the programs there that answer for agents, and the library to speak with them?"""
    config = patient.loaded.config
    if config is None:
        return
    runtimes = {one.id: config.agents.runtime_for(one.id) for one in config.agents.roster()}
    wanted = {name: runtime for name, runtime in runtimes.items() if runtime.type == "acp"}
    if not wanted:
        return
    findings = [
        *_library(),
        *(found for name, runtime in wanted.items() for found in _program(name, runtime, patient)),
    ]
    yield from findings or [fine(CHECK, f"the programs of {', '.join(wanted)} are there")]


def _library() -> Iterator[Finding]:
    if importlib.util.find_spec("acp") is None:
        yield Finding(
            check=CHECK,
            level=Level.ERROR,
            message="agents of type acp need a library that is not installed",
            next_step="pip install 'portico[acp]'",
        )


def _program(agent_id: str, runtime: RuntimeConfig, patient: Patient) -> Iterator[Finding]:
    from portico.agents.acp.launch import find_program
    from portico.agents.acp.settings import program_env

    command = runtime.command or ""
    cwd = None if runtime.cwd is None else Path(runtime.cwd)
    if cwd is not None and not cwd.is_dir():
        yield Finding(
            check=CHECK,
            level=Level.ERROR,
            message=f"the program of agent {agent_id} shall work in {cwd}, which is no directory",
            next_step=f"mkdir -p {cwd}",
        )
    path = program_env(patient.env, runtime.env).get("PATH")
    if find_program(command, cwd=runtime.cwd, path=path) is None:
        yield Finding(
            check=CHECK,
            level=Level.ERROR,
            message=f"the program of agent {agent_id} is missing: {command}",
            explanation="Every turn of the agent fails until it can be started.",
            next_step="Install it, or name it with its whole path in the agent's runtime.command",
        )
