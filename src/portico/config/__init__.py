"""Configuration: the typed settings, their file, their references, their edits.

Guarantees: importing this package imports neither pydantic nor a JSON5 parser; they are loaded by
the first function that needs them. The process environment is never read here: callers pass it.
Not here: applying a change to running services (each service gets its settings as an argument).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portico.config.edit import EditResult, parse_value, replace_text, set_value, unset_value
    from portico.config.first_run import FirstRun, ensure_first_run, ensure_token
    from portico.config.importing import (
        Imported,
        Left,
        import_openclaw,
        read_openclaw,
        render_imported,
    )
    from portico.config.issues import ConfigError, Issue, Severity
    from portico.config.keypath import KeyPath, format_path, get_value, parse_path
    from portico.config.paths import ConfigPaths, openclaw_config_path, resolve_paths
    from portico.config.redaction import REDACTED, redact
    from portico.config.service import (
        LoadedConfig,
        default_config,
        load,
        load_or_last_good,
        remember_good,
        snapshot,
    )

__all__ = [
    "REDACTED",
    "ConfigError",
    "ConfigPaths",
    "EditResult",
    "FirstRun",
    "Imported",
    "Issue",
    "KeyPath",
    "Left",
    "LoadedConfig",
    "Severity",
    "default_config",
    "ensure_first_run",
    "ensure_token",
    "format_path",
    "get_value",
    "import_openclaw",
    "load",
    "load_or_last_good",
    "openclaw_config_path",
    "parse_path",
    "parse_value",
    "read_openclaw",
    "redact",
    "remember_good",
    "render_imported",
    "replace_text",
    "resolve_paths",
    "set_value",
    "snapshot",
    "unset_value",
]

# Where each name lives; a module is imported when one of its names is first asked for.
_HOMES = {
    name: module
    for module, names in {
        "edit": ("EditResult", "parse_value", "replace_text", "set_value", "unset_value"),
        "first_run": ("FirstRun", "ensure_first_run", "ensure_token"),
        "importing": ("Imported", "Left", "import_openclaw", "read_openclaw", "render_imported"),
        "issues": ("ConfigError", "Issue", "Severity"),
        "keypath": ("KeyPath", "format_path", "get_value", "parse_path"),
        "paths": ("ConfigPaths", "openclaw_config_path", "resolve_paths"),
        "redaction": ("REDACTED", "redact"),
        "service": (
            "LoadedConfig",
            "default_config",
            "load",
            "load_or_last_good",
            "remember_good",
            "snapshot",
        ),
    }.items()
    for name in names
}


def __getattr__(name: str) -> object:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
