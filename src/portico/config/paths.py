"""Where Portico keeps its configuration and its state.

Guarantees: nothing is read from the process environment here; callers pass the mapping in.
Not here: creating anything (first_run.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_NAME = "portico.json"
STATE_DIR_NAME = ".portico"


@dataclass(frozen=True, slots=True)
class ConfigPaths:
    """The two roots, and every file that has a fixed place below them."""

    state_dir: Path
    config_file: Path

    @property
    def last_good(self) -> Path:
        """The text of the last configuration the gateway ran with."""
        return self.config_file.with_name(self.config_file.name + ".last-good")

    @property
    def database(self) -> Path:
        """The default SQLite file."""
        return self.state_dir / "portico.sqlite"

    @property
    def log_file(self) -> Path:
        """The default log file."""
        return self.state_dir / "logs" / "portico.log"

    @property
    def skills(self) -> Path:
        """Where installed skills are."""
        return self.state_dir / "skills"

    @property
    def tls_dir(self) -> Path:
        """Where a generated certificate lives."""
        return self.state_dir / "gateway" / "tls"

    @property
    def local_secret(self) -> Path:
        """What this machine's commands prove themselves by when there is no shared secret."""
        return self.state_dir / "gateway" / "local-secret"

    @property
    def lock_file(self) -> Path:
        """One gateway per state directory."""
        return self.state_dir / "gateway.lock"

    @property
    def gateway_identity(self) -> Path:
        """The key that says which gateway this is."""
        return self.state_dir / "gateway" / "identity.json"

    @property
    def updates(self) -> Path:
        """What is remembered of updates, and the files the last one replaced."""
        return self.state_dir / "updates"

    @property
    def exec_approvals(self) -> Path:
        """What agents may run on this machine without asking."""
        return self.state_dir / "exec-approvals.json"

    @property
    def workspace(self) -> Path:
        """The default agent workspace."""
        return self.state_dir / "workspace"


def resolve_paths(
    *,
    env: Mapping[str, str],
    config: str | Path | None = None,
    state_dir: str | Path | None = None,
) -> ConfigPaths:
    """Decide both roots: argument, then `PORTICO_CONFIG`/`PORTICO_STATE_DIR`, then `~/.portico`."""
    state = state_dir or env.get("PORTICO_STATE_DIR") or home_of(env) / STATE_DIR_NAME
    state_path = absolute(state, env)
    file = config or env.get("PORTICO_CONFIG") or state_path / CONFIG_NAME
    return ConfigPaths(state_dir=state_path, config_file=absolute(file, env))


def openclaw_config_path(env: Mapping[str, str]) -> Path:
    """The file OpenClaw itself would read. Source: OpenClaw docs, gateway configuration."""
    if explicit := env.get("OPENCLAW_CONFIG_PATH"):
        return absolute(explicit, env)
    state = env.get("OPENCLAW_STATE_DIR") or home_of(env) / ".openclaw"
    return absolute(state, env) / "openclaw.json"


def home_of(env: Mapping[str, str]) -> Path:
    """The home directory the environment names, else the account's."""
    home = env.get("HOME") or env.get("USERPROFILE")
    return Path(home) if home else Path.home()


def absolute(path: str | Path, env: Mapping[str, str]) -> Path:
    """Expand a leading `~` with the given environment and make the path absolute."""
    text = str(path)
    if text == "~" or text.startswith(("~/", "~\\")):
        return home_of(env) / text[2:]
    return Path(text).absolute()
