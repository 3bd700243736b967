"""The first configuration: small, commented, with a token of its own.

Guarantees: the directory is private (0700), the file too (0600). An existing file gets nothing but
a token, and only when it has no way in at all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portico.config.atomic import directory_lock, write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from portico.config.paths import ConfigPaths
    from portico.config.service import LoadedConfig

TOKEN_BYTES = 24  # 48 hexadecimal characters

_TEMPLATE = """\
// Portico's settings (JSON5: comments and trailing commas are welcome).
// Every key: portico config schema. A change: portico config set gateway.port 18790
{{
  gateway: {{
    port: 18789,
    bind: "loopback", // "lan" lets other machines in
    auth: {{
      mode: "token",
      token: "{token}", // the secret clients show; keep this file private
    }},
  }},
  agents: {{
    defaults: {{ runtime: "echo" }}, // answers with what it was told
  }},
}}
"""


@dataclass(frozen=True, slots=True)
class FirstRun:
    """What `ensure_first_run` found or made; the token is given only when it was made now."""

    created: bool
    path: Path
    token: str | None


def ensure_first_run(paths: ConfigPaths, *, new_token: Callable[[], str] | None = None) -> FirstRun:
    """Make the state directory and, unless there is a config file, a minimal one."""
    make_private_directory(paths.state_dir)
    make_private_directory(paths.config_file.parent)
    with directory_lock(paths.config_file.parent):
        if os.path.lexists(paths.config_file):
            return FirstRun(created=False, path=paths.config_file, token=None)
        token = (new_token or random_token)()
        write_atomic(paths.config_file, _TEMPLATE.format(token=token))
    return FirstRun(created=True, path=paths.config_file, token=token)


def ensure_token(
    loaded: LoadedConfig, *, env: Mapping[str, str], new_token: Callable[[], str] | None = None
) -> bool:
    """Write a token into a configuration that has none; return whether one was written.

    Without it nobody could get in: not the page, not the command line of this machine.
    """
    from portico.config.checks import auth_mode
    from portico.config.edit import set_value
    from portico.config.issues import ConfigError

    config = loaded.config
    if config is None or loaded.from_last_good or not loaded.paths.config_file.exists():
        return False
    if auth_mode(config) != "token" or config.gateway.auth.token:
        return False
    token = (new_token or random_token)()
    try:
        set_value(loaded.paths, "gateway.auth.token", token, env=env)
    except (ConfigError, OSError):  # somebody else looks after the file: a token for this run
        return False
    return True


def random_token() -> str:
    """Return a fresh token for the gateway."""
    import secrets

    return secrets.token_hex(TOKEN_BYTES)


def make_private_directory(path: Path) -> None:
    """Create a directory only its owner can enter; one that exists keeps its mode."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
