"""What a change of the configuration would do: which settings, how each takes effect, what next."""

from __future__ import annotations

from typing import Any

from portico.config.keypath import KeyPath, format_path, get_at
from portico.config.live import LiveConfig
from portico.config.redaction import redact
from portico.config.schema import reload_kind
from portico.config.service import LoadedConfig, refusals_of

MAX_CHANGES = 500
_UNSET: Any = object()


def plan_of(live: LiveConfig, new: LoadedConfig) -> dict[str, Any]:
    """Return what taking over a configuration would do to the running gateway."""
    now, mode = live.loaded, live.loaded.require().gateway.reload.mode
    changed, waits = live.plan(new)
    refusals = refusals_of(new)
    return {
        "valid": not refusals,
        "issues": [one.to_wire() for one in (*refusals, *new.warnings)][:MAX_CHANGES],
        "mode": mode,
        "changes": [
            _change(path, now, new, is_followed=format_path(path) not in waits)
            for path in sorted(changed, key=format_path)[:MAX_CHANGES]
        ],
        "action": _action(mode, has_changes=bool(changed), waits=waits, is_valid=not refusals),
    }


def _action(mode: str, *, has_changes: bool, waits: list[str], is_valid: bool) -> str:
    if not is_valid:
        return "refused"
    if not has_changes:
        return "none"
    if mode == "off":
        return "none until the next start"
    if mode == "restart" or (waits and mode == "hybrid"):
        return "restart"
    return "hot, the rest at the next start" if waits else "hot"


def _change(
    path: KeyPath, now: LoadedConfig, new: LoadedConfig, *, is_followed: bool
) -> dict[str, Any]:
    kind = reload_kind(format_path(path))
    follows = "none" if kind == "none" else "hot"
    shown: dict[str, Any] = {
        "path": format_path(path),
        "effect": follows if is_followed else "restart",
    }
    for name, loaded in (("before", now), ("after", new)):
        value = _value(loaded, path)
        if value is not _UNSET:
            shown[name] = value
    return shown


def _value(loaded: LoadedConfig, path: KeyPath) -> Any:
    try:
        return get_at(redact(loaded.resolved, loaded.hidden_paths), path)
    except KeyError:
        return _UNSET
