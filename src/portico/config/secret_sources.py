"""Where the secrets that a configuration refers to come from, besides the environment and files.

`{source: "store", id: "NAME"}` is a secret of the store; `{source: "exec", provider: "vault", id}`
is what the program `secrets.providers.vault` prints. It is given
`{"protocolVersion": 1, "provider": "vault", "ids": ["…"]}` and answers `{"values": {"…": "…"}}`,
or, with `jsonOnly: false`, the value itself.

Guarantees: a program is named by its absolute path, belongs to this user or root, cannot be changed
by others, gets no shell and only the variables named for it, and has a bounded time and output.
A program is asked once for each reference of a configuration.

Source: OpenClaw configuration, SecretRef and `secrets.providers`.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portico.config.secret_store import SecretStore, SecretStoreError

DEFAULT_TIMEOUT_MS = 5_000
MAX_TIMEOUT_MS = 60_000
MAX_OUTPUT_BYTES = 1 << 20


class SecretUnavailable(Exception):
    """A secret cannot be had; the text says why, and never a value."""


class SecretSources:
    """Finds secrets of the store and of programs, and remembers them."""

    def __init__(self, state_dir: Path, *, env: Mapping[str, str]) -> None:
        self.store = SecretStore(state_dir, env=env)
        self._env = env
        self._had: dict[tuple[str, str, str], str] = {}

    def stored(self, name: str) -> str:
        """Return a secret of the store.

        Raises:
            SecretUnavailable: it is not there, or cannot be opened.
        """
        try:
            found = self.store.find(name)
        except SecretStoreError as error:
            raise SecretUnavailable(str(error)) from None
        if found is None:
            raise SecretUnavailable(f"there is no stored secret {name}")
        return found

    def printed(self, name: str, settings: Any, secret_id: str) -> str:
        """Return what a program says.

        Args:
            settings: of the provider, as they are in the file.

        Raises:
            SecretUnavailable: it cannot be run, or has no such secret.
        """
        if not isinstance(settings, dict) or settings.get("source") != "exec":
            raise SecretUnavailable(f"there is no secrets.providers.{name} with source exec")
        key = (name, json.dumps(settings, sort_keys=True, default=str), secret_id)
        if key not in self._had:
            self._had[key] = self._run(name, settings, secret_id)
        return self._had[key]

    def _run(self, name: str, settings: Mapping[str, Any], secret_id: str) -> str:
        command = _program(name, settings)
        asked = json.dumps({"protocolVersion": 1, "provider": name, "ids": [secret_id]})
        try:
            done = subprocess.run(  # noqa: S603  # named by the operator, without a shell
                command,
                input=asked.encode(),
                capture_output=True,
                env=self._variables(settings),
                timeout=_timeout_s(settings),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SecretUnavailable(f"{command[0]} did not answer in time") from None
        except OSError as error:
            reason = error.strerror or error
            raise SecretUnavailable(f"cannot run {command[0]}: {reason}") from None
        if done.returncode != 0:
            raise SecretUnavailable(f"{command[0]} failed with exit code {done.returncode}")
        return _answered(command[0], done.stdout, secret_id, settings)

    def _variables(self, settings: Mapping[str, Any]) -> dict[str, str]:
        passed = settings.get("passEnv") or ()
        given = settings.get("env") or {}
        variables = {name: self._env[name] for name in ("PATH", "HOME") if name in self._env}
        variables |= {str(name): self._env[name] for name in passed if name in self._env}
        return variables | {str(name): str(value) for name, value in dict(given).items()}


def _program(name: str, settings: Mapping[str, Any]) -> list[str]:
    command, arguments = settings.get("command"), settings.get("args") or ()
    if not isinstance(command, str) or not Path(command).is_absolute():
        raise SecretUnavailable(f"secrets.providers.{name}.command is not an absolute path")
    try:
        found = Path(command).stat()
    except OSError as error:
        raise SecretUnavailable(f"cannot run {command}: {error.strerror or error}") from None
    is_safe = found.st_uid in {0, os.getuid()} and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not (is_safe or settings.get("allowInsecurePath") is True):
        raise SecretUnavailable(f"{command} can be changed by others")
    return [command, *map(str, arguments)]


def _timeout_s(settings: Mapping[str, Any]) -> float:
    given = settings.get("timeoutMs", DEFAULT_TIMEOUT_MS)
    wanted = given if isinstance(given, int) and given > 0 else DEFAULT_TIMEOUT_MS
    return min(wanted, MAX_TIMEOUT_MS) / 1000


def _answered(command: str, output: bytes, secret_id: str, settings: Mapping[str, Any]) -> str:
    if len(output) > MAX_OUTPUT_BYTES:
        raise SecretUnavailable(f"{command} printed too much")
    try:
        text = output.decode()
        if settings.get("jsonOnly") is False and not text.lstrip().startswith("{"):
            return text.removesuffix("\n").removesuffix("\r")
        value = json.loads(text)["values"][secret_id]
    except (ValueError, KeyError, TypeError):
        raise SecretUnavailable(f"{command} has no value for {secret_id}") from None
    if not isinstance(value, str):
        raise SecretUnavailable(f"{command} has no text for {secret_id}")
    return value
