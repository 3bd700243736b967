"""Checks of what agents may have done on this machine."""

from __future__ import annotations

from collections.abc import Iterator

from portico.cli.doctor.model import Finding, Level, Patient, fine


def running_programs(patient: Patient) -> Iterator[Finding]:
    """Can agents run programs, and where?"""
    config = patient.loaded.config
    if config is None:
        return
    rules = [config.tools.exec, *(e.tools.exec for e in config.agents.roster() if e.tools.exec)]
    on = [one for one in rules if one.security != "deny"]
    if not on:
        yield fine("tools.exec", "agents cannot run programs")
        return
    if any(one.host == "gateway" for one in on):
        yield Finding(
            check="tools.exec",
            level=Level.NOTE,
            message="agents run programs on this machine itself, with the rights of this account",
            next_step='portico config set tools.exec.host "sandbox"',
        )
    if any(one.host in {"auto", "sandbox"} for one in on):
        yield _sandbox()


def _sandbox() -> Finding:
    from portico.agents.tools.exec.sandbox import trouble

    problem = trouble()
    if problem is None:
        return fine("tools.sandbox", "programs of agents run in a sandbox (bubblewrap)")
    return Finding(
        check="tools.sandbox",
        level=Level.WARNING,
        message=problem,
        explanation="Agents are configured to run programs in a sandbox; without it none runs.",
        next_step="Install it (apt install bubblewrap), or switch the tool off: "
        'portico config set tools.exec.security "deny"',
    )
