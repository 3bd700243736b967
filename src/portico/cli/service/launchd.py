"""A gateway as a launchd job: of a user (LaunchAgents) or of the machine (LaunchDaemons).

launchd follows one process, the first of the line; after a restart without a gap that one keeps its
place (`portico.succession.place`), so the job goes on. launchd reads no environment files: what the
configuration refers to is read by a shell that becomes the gateway.

Source: launchd.plist(5), launchctl(1).
"""

from __future__ import annotations

import os
import plistlib
from pathlib import Path
from typing import Any

from portico.cli.service.plan import Service, Written
from portico.cli.service.systemd import STOP_S

_WITH_ENV = 'set -a; if [ -r "$1" ]; then . "$1"; fi; set +a; shift; exec "$@"'


class Launchd:
    """launchd."""

    def files(self, service: Service) -> tuple[Written, ...]:
        """Return the job and its environment file."""
        return (
            Written(service.env_file, _ENV_TEXT, 0o600, is_kept=True),
            Written(self.plist_file(service), plist(service)),
        )

    def plist_file(self, service: Service) -> Path:
        """Where the job is described."""
        if service.is_system:
            return Path("/Library/LaunchDaemons") / f"{label(service)}.plist"
        return service.home / "Library" / "LaunchAgents" / f"{label(service)}.plist"

    def commands(self, action: str, service: Service) -> tuple[tuple[str, ...], ...]:
        """Return the launchctl calls of an action."""
        domain = "system" if service.is_system else f"gui/{os.getuid()}"
        job = f"{domain}/{label(service)}"
        log = str(_output(service))
        calls: dict[str, tuple[tuple[str, ...], ...]] = {
            "install": (
                ("launchctl", "bootstrap", domain, str(self.plist_file(service))),
                ("launchctl", "enable", job),
            ),
            "uninstall": (("launchctl", "bootout", job),),
            "uninstalled": (),
            "start": (("launchctl", "kickstart", job),),
            "stop": (("launchctl", "kill", "SIGTERM", job),),
            "restart": (("launchctl", "kill", "SIGUSR2", job),),
            "status": (("launchctl", "print", job),),
            "logs": (("tail", "-n", "200", log),),
        }
        return calls[action]


def label(service: Service) -> str:
    """Return the job's name."""
    return f"ai.portico.{service.name}"


def plist(service: Service) -> str:
    """Return the job's description."""
    job: dict[str, Any] = {
        "Label": label(service),
        "ProgramArguments": [
            *("/bin/sh", "-c", _WITH_ENV, "portico", str(service.env_file)),
            *service.command,
        ],
        "WorkingDirectory": str(service.state_dir),
        "EnvironmentVariables": {"PYTHONUNBUFFERED": "1"},
        "RunAtLoad": True,
        # A gateway that was asked to stop (exit code 0) stays stopped.
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 10,
        "ExitTimeOut": STOP_S,
        "ProcessType": "Interactive",
        "Umask": 0o077,
        "StandardOutPath": str(_output(service)),
        "StandardErrorPath": str(_output(service)),
    }
    if service.is_system and service.user:
        job["UserName"] = service.user
    return plistlib.dumps(job).decode()


def _output(service: Service) -> Path:
    return service.state_dir / "logs" / "gateway.out"


_ENV_TEXT = """\
# Variables for the gateway, one NAME='value' a line; the configuration refers to them as ${NAME}.
# A shell reads it. This file is yours: it is made once and never changed.
"""
