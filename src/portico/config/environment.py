"""Settings that come from the process environment and from the command line.

Order of strength: command line, then `PORTICO_GATEWAY_PORT`, then the file. Credentials are the
other way round: the file's win, the environment fills in what the file does not say. The
`OPENCLAW_…` names are read as well, the `PORTICO_…` ones first.
Source: OpenClaw docs, gateway port precedence and auth resolution.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from portico.config.keypath import KeyPath, get_at, parse_path, set_at

if TYPE_CHECKING:
    from collections.abc import Mapping

_AUTH: KeyPath = ("gateway", "auth")


def with_environment(
    data: dict[str, Any], env: Mapping[str, str], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """A copy of the resolved tree with the environment's and the command line's settings."""
    tree = copy.deepcopy(data)
    if port := _lookup(env, "GATEWAY_PORT"):
        _put(tree, ("gateway", "port"), port)
    _fill_credentials(tree, env)
    for path, value in overrides.items():
        if value is not None:
            _put(tree, parse_path(path), value)
    return tree


def without_port(env: Mapping[str, str]) -> dict[str, str]:
    """The environment without what wins over the file."""
    return {name: value for name, value in env.items() if not name.endswith("_GATEWAY_PORT")}


def _fill_credentials(tree: dict[str, Any], env: Mapping[str, str]) -> None:
    mode = _find(tree, (*_AUTH, "mode"))
    written = {name for name in ("token", "password") if _find(tree, (*_AUTH, name))}
    for name in ("token", "password"):
        secret = _lookup(env, f"GATEWAY_{name.upper()}")
        # Without a mode, a secret in the file decides what the mode is: adding the other one
        # would make the file ambiguous.
        wanted = mode == name or (mode is None and not written)
        if secret and wanted and name not in written:
            _put(tree, (*_AUTH, name), secret)


def _lookup(env: Mapping[str, str], name: str) -> str | None:
    return env.get(f"PORTICO_{name}") or env.get(f"OPENCLAW_{name}") or None


def _find(tree: dict[str, Any], path: KeyPath) -> Any:
    try:
        return get_at(tree, path)
    except KeyError:
        return None


def _put(tree: dict[str, Any], path: KeyPath, value: Any) -> None:
    try:
        set_at(tree, path, value)
    except KeyError:
        # The file holds something else than an object on the way; validation will say so.
        return
