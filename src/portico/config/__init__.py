"""Configuration: the typed settings, their file, their references, their edits.

Guarantees: importing this package imports neither pydantic nor a JSON5 parser; they are loaded by
the first function that needs them. The process environment is never read here: callers pass it.
Not here: applying a change to running services (each service gets its settings as an argument).
"""

from __future__ import annotations

from portico.config.edit import EditResult, parse_value, replace_text, set_value, unset_value
from portico.config.first_run import FirstRun, ensure_first_run
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
