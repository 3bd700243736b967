"""What a service manager needs to run a gateway, as files and commands that can be shown first.

Guarantees: a plan has no effects; carrying the same plan out twice changes nothing the second time;
what may hold secrets is written with mode 0600.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from portico.cli.exit import Failure
from portico.config.atomic import write_atomic

PATIENCE_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A gateway to be run for good.

    Attributes:
        name: of the service, such as `portico`.
        python: the interpreter of the environment Portico is installed in.
        user: who runs it, in the machine's own manager; empty: whoever installs it.
        is_system: for the machine, not for one user.
        home: of whoever runs it.
    """

    name: str
    python: Path
    state_dir: Path
    config: Path
    home: Path
    user: str = ""
    is_system: bool = False

    @property
    def command(self) -> tuple[str, ...]:
        """The command line of the gateway."""
        return (
            *(str(self.python), "-P", "-m", "portico", "run"),
            *("--config", str(self.config), "--state-dir", str(self.state_dir)),
        )

    @property
    def env_file(self) -> Path:
        """Where variables the configuration refers to are kept, for the owner's eyes only."""
        return self.state_dir / "gateway.env"


@dataclass(frozen=True, slots=True)
class Written:
    """A file a service consists of.

    Attributes:
        is_kept: an existing one stays as it is, also when the service is removed.
    """

    path: Path
    text: str
    mode: int = 0o644
    is_kept: bool = False

    @property
    def is_current(self) -> bool:
        """Whether it is there as planned."""
        if not self.path.is_file() or self.path.stat().st_mode & 0o777 != self.mode:
            return False
        return self.is_kept or self.path.read_text() == self.text


class Manager(Protocol):
    """A service manager."""

    def files(self, service: Service) -> tuple[Written, ...]:
        """Return what is to be written."""
        ...

    def commands(self, action: str, service: Service) -> tuple[tuple[str, ...], ...]:
        """Return what is to be run to install, uninstall, start, stop, restart, show or log."""
        ...


def write(files: Sequence[Written]) -> list[Path]:
    """Write what is not there as planned; return which."""
    changed = []
    for file in files:
        if file.is_current:
            continue
        file.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if file.is_kept and file.path.exists():
            file.path.chmod(file.mode)
        else:
            write_atomic(file.path, file.text, mode=file.mode)
        changed.append(file.path)
    return changed


def remove(files: Sequence[Written]) -> list[Path]:
    """Remove what a service consists of, but for what is the owner's; return which."""
    gone = [file.path for file in files if not file.is_kept and file.path.exists()]
    for path in gone:
        path.unlink()
    return gone


def run(commands: Sequence[Sequence[str]]) -> None:
    """Run commands, one after the other.

    Raises:
        Failure: one of them failed, or is not there.
    """
    for command in commands:
        done = run_one(command)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()[-1000:]
            raise Failure(
                f"{' '.join(command)} failed (exit code {done.returncode}): {said}",
                code="service.manager_failed",
                next_step="See what would be done: portico service install --dry-run",
            )


def run_one(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run one command and return what came of it.

    Raises:
        Failure: it is not there, or does not end.
    """
    try:
        return subprocess.run(  # noqa: S603 - a manager's own program, no shell
            command, check=False, capture_output=True, text=True, timeout=PATIENCE_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(
            f"{command[0]} cannot be run: {error}",
            code="service.no_manager",
            next_step="Run the gateway by hand: portico run",
        ) from None
