"""Changing the config file: one value, or the whole text.

Guarantees: comments stay; the file is replaced atomically and private (0600); the text that was
valid before is kept as the last good copy; a change that would make the configuration invalid is
refused and the file is untouched; edits of several processes do not overwrite each other.
Not here: applying the change to a running gateway.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from portico.config.atomic import directory_lock, write_atomic
from portico.config.file import read_text
from portico.config.first_run import make_private_directory
from portico.config.issues import ConfigError, Issue, Severity
from portico.config.keypath import KeyPath, format_path, get_at, list_index, parse_path, set_at
from portico.config.service import LoadedConfig, load_text, text_hash
from portico.config.splice import SpliceError, set_in_text, unset_in_text
from portico.config.text import TextError, read_json5

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from portico.config.paths import ConfigPaths


@dataclass(frozen=True, slots=True)
class EditResult:
    """What an edit did. `reload` says when a running gateway follows it."""

    changed: bool
    path: Path
    hash: str
    text: str
    loaded: LoadedConfig
    reload: Literal["hot", "restart", "none"]


def parse_value(text: str) -> Any:
    """What a person typed as a value: JSON5 if it is that, else the words themselves."""
    try:
        return read_json5(text)
    except TextError:
        return text


def set_value(
    paths: ConfigPaths,
    path: str,
    value: Any,
    *,
    env: Mapping[str, str],
    base_hash: str | None = None,
) -> EditResult:
    """Set one value.

    Raises:
        ConfigError: the path or the result is not acceptable, or the file has changed since
            `base_hash`; the file is as it was.
    """
    steps = _steps(path)

    def change(text: str) -> str:
        changed = set_in_text(text, steps, value)
        _verify(text, changed, lambda tree: set_at(tree, steps, value))
        return changed

    return _edit(paths, change, path, env, base_hash)


def unset_value(
    paths: ConfigPaths, path: str, *, env: Mapping[str, str], base_hash: str | None = None
) -> EditResult:
    """Remove one value, so that its default counts; `changed` is False when it was not there.

    Raises:
        ConfigError: as for `set_value`.
    """
    steps = _steps(path)

    def change(text: str) -> str:
        changed = unset_in_text(text, steps)
        _verify(text, changed, lambda tree: _delete_at(tree, steps))
        return changed if _data(changed) != _data(text) else text

    return _edit(paths, change, path, env, base_hash)


def replace_text(
    paths: ConfigPaths, raw: str, *, env: Mapping[str, str], base_hash: str | None = None
) -> EditResult:
    """Replace the whole file.

    Raises:
        ConfigError: as for `set_value`.
    """
    return _edit(paths, lambda _: raw, "", env, base_hash)


def _edit(
    paths: ConfigPaths,
    change: Callable[[str], str],
    path: str,
    env: Mapping[str, str],
    base_hash: str | None,
) -> EditResult:
    from portico.config.schema import reload_kind

    make_private_directory(paths.config_file.parent)
    with directory_lock(paths.config_file.parent):
        before = _current(paths)
        if base_hash is not None and base_hash != text_hash(before or ""):
            _refuse(
                paths,
                "",
                "the file has changed since it was read",
                "read it again and repeat",
                "base_hash.stale",
            )
        try:
            after = change(before or "")
        except (SpliceError, TextError, KeyError) as error:
            message = str(error.args[0]) if error.args else str(error)
            _refuse(paths, path, message, "see what is there: portico config get", "edit.path")
        loaded = load_text(paths, after, env=env)
        if after != before:
            if loaded.issues:
                raise ConfigError(loaded.issues)
            _keep_last_good(paths, before, env)
            write_atomic(paths.config_file, after)
    return EditResult(
        changed=after != before,
        path=paths.config_file,
        hash=text_hash(after),
        text=after,
        loaded=loaded,
        reload=reload_kind(path) if path else "restart",
    )


def _current(paths: ConfigPaths) -> str | None:
    try:
        return read_text(paths.config_file)
    except FileNotFoundError:
        return None
    except OSError as error:
        _refuse(
            paths,
            "",
            f"cannot read the config file: {error.strerror or error}",
            "make it a readable file",
            "file.read",
        )


def _keep_last_good(paths: ConfigPaths, text: str | None, env: Mapping[str, str]) -> None:
    if text is not None and text.strip() and load_text(paths, text, env=env).valid:
        write_atomic(paths.last_good, text)


def _steps(path: str) -> KeyPath:
    try:
        return parse_path(path)
    except ValueError as error:
        issue = Issue(
            Severity.ERROR, path, str(error), "write it like gateway.auth.token", "edit.path"
        )
        raise ConfigError([issue]) from None


def _refuse(paths: ConfigPaths, path: str, message: str, next_step: str, code: str) -> NoReturn:
    file = str(paths.config_file)
    raise ConfigError([Issue(Severity.ERROR, path, message, next_step, code, file)])


def _data(text: str) -> dict[str, Any]:
    value = read_json5(text) if text.strip() else {}
    if not isinstance(value, dict):
        raise SpliceError("the file does not hold an object")
    return value


def _verify(before: str, after: str, change: Callable[[dict[str, Any]], None]) -> None:
    """The edited text must read as the old data with this change, or it is not written."""
    expected = copy.deepcopy(_data(before)) if _has_data(before) else {}
    change(expected)
    if repr(_data(after)) != repr(_plain(expected)):
        raise SpliceError("the text cannot be edited in place; change it by hand")


def _has_data(text: str) -> bool:
    try:
        return bool(_data(text))
    except TextError:  # nothing but comments
        return False


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _delete_at(tree: dict[str, Any], steps: KeyPath) -> None:
    try:
        parent = get_at(tree, steps[:-1])
    except KeyError:
        return
    if isinstance(parent, dict):
        parent.pop(str(steps[-1]), None)
    elif isinstance(parent, list):
        index = list_index(steps[-1])
        if index is not None and index < len(parent):
            del parent[index]


__all__ = [
    "EditResult",
    "format_path",
    "parse_value",
    "replace_text",
    "set_value",
    "unset_value",
]
