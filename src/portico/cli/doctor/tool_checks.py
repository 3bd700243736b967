"""Checks of what agents may have done on this machine."""

from __future__ import annotations

from collections.abc import Iterator

from portico.agents.tools.exec.model import Engine, SandboxSettings
from portico.cli.doctor.model import Finding, Level, Patient, fine

_HELP: dict[Engine, str] = {
    "bubblewrap": "Install it (apt install bubblewrap)",
    "podman": "Install it (apt install podman) and bring the image: podman pull or podman import",
    "docker": "Install it and bring the image: docker pull or docker import",
}


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
    boxes = [one.sandbox for one in on if one.host in {"auto", "sandbox"}]
    for engine, image in sorted({(one.engine, one.image or "") for one in boxes}):
        yield _sandbox(engine, image, patient)


def _sandbox(engine: Engine, image: str, patient: Patient) -> Finding:
    from portico.agents.tools.exec import container, sandbox

    if engine == "bubblewrap":
        problem = sandbox.trouble()
    else:
        box = SandboxSettings(engine=engine, image=image)
        problem = container.trouble(box, patient.env)
    if problem is None:
        what = engine if engine == "bubblewrap" else f"{engine}, {image}"
        return fine("tools.sandbox", f"programs of agents run in a sandbox ({what})")
    return Finding(
        check="tools.sandbox",
        level=Level.WARNING,
        message=problem,
        explanation="Agents are configured to run programs in a sandbox; without it none runs.",
        next_step=f"{_HELP[engine]}, or switch the tool off: "
        'portico config set tools.exec.security "deny"',
    )
