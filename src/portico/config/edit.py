"""Changing the config file: one value, several at once, or the whole text.

Guarantees: comments stay; the file is replaced atomically and private (0600); the text that was
valid before is kept as the last good copy; a change that would make the configuration invalid is
refused and the file is untouched; edits of several processes do not overwrite each other.
Not here: applying the change to a running gateway.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from portico.config.atomic import directory_lock, write_atomic
from portico.config.backups import keep_backup, keep_rejected
from portico.config.environment import without_port
from portico.config.file import read_text
from portico.config.first_run import make_private_directory
from portico.config.issues import ConfigError, Issue, Severity
from portico.config.keypath import KeyPath, format_path, get_at, list_index, parse_path, set_at
from portico.config.service import LoadedConfig, load_text, refusals_of, text_hash
from portico.config.splice import SpliceError, set_in_text, unset_in_text
from portico.config.text import TextError, read_json5

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from portico.config.paths import ConfigPaths


Rewriting = Callable[[str], str]
"""Says what a text becomes.

Raises:
    SpliceError, TextError, KeyError: it cannot be changed like that.
"""


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
    return edit_text(paths, setting(path, value), path=path, env=env, base_hash=base_hash)


def setting(path: str, value: Any) -> Rewriting:
    """Say what a text becomes when one value is set.

    Raises:
        ConfigError: the path makes no sense.
    """
    steps = _steps(path)

    def change(text: str) -> str:
        changed = set_in_text(text, steps, value)
        _verify(text, changed, lambda tree: set_at(tree, steps, value))
        return changed

    return change


def unset_value(
    paths: ConfigPaths, path: str, *, env: Mapping[str, str], base_hash: str | None = None
) -> EditResult:
    """Remove one value, so that its default counts; `changed` is False when it was not there.

    Raises:
        ConfigError: as for `set_value`.
    """
    return edit_text(paths, unsetting(path), path=path, env=env, base_hash=base_hash)


def unsetting(path: str) -> Rewriting:
    """Say what a text becomes when one value is removed.

    Raises:
        ConfigError: the path makes no sense.
    """
    steps = _steps(path)

    def change(text: str) -> str:
        changed = unset_in_text(text, steps)
        _verify(text, changed, lambda tree: _delete_at(tree, steps))
        return changed if _data(changed) != _data(text) else text

    return change


@dataclass(frozen=True, slots=True)
class Change:
    """One value to set, or to remove."""

    path: KeyPath
    value: Any = None
    remove: bool = False

    @classmethod
    def removal(cls, *path: str | int) -> Change:
        """Take away what stands at a path."""
        return cls(path, remove=True)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A change that is worked out and acceptable, and not written yet."""

    before: str | None
    text: str
    loaded: LoadedConfig

    @property
    def changes_anything(self) -> bool:
        """Whether there is something to write."""
        return self.text != (self.before or "")


class StaleEdit(Exception):
    """The file has changed since the change was worked out."""


def prepare(
    paths: ConfigPaths,
    decide: Callable[[LoadedConfig], Sequence[Change]],
    *,
    env: Mapping[str, str],
    overrides: Mapping[str, Any] | None = None,
) -> Prepared:
    """Work out what the file becomes, without writing it.

    Args:
        decide: says what to change, knowing what the file holds now.

    Raises:
        ConfigError: the file is broken as it is, or would be by the change.
    """
    before = _current(paths)
    loaded = load_text(paths, before or "", env=env, overrides=overrides)
    if not loaded.valid:
        raise ConfigError(loaded.issues)
    text, path = before or "", ""
    try:
        for change in decide(loaded):
            path = format_path(change.path)
            text = changed_text(text, change)
    except (SpliceError, TextError, KeyError) as error:
        message = str(error.args[0]) if error.args else str(error)
        _refuse(paths, path, message, "change it by hand", "edit.path")
    return _acceptable(paths, before, text, env, overrides)


def prepare_text(
    paths: ConfigPaths,
    rewrite: Callable[[LoadedConfig], str],
    *,
    env: Mapping[str, str],
    overrides: Mapping[str, Any] | None = None,
) -> Prepared:
    """Work out another text of the file, which may be broken as it is.

    Args:
        rewrite: says what the text becomes, knowing what it is now.

    Raises:
        ConfigError: the new text is not acceptable.
    """
    before = _current(paths)
    exists = before is not None
    text = rewrite(load_text(paths, before or "", env=env, overrides=overrides, exists=exists))
    return _acceptable(paths, before, text, env, overrides)


def _acceptable(
    paths: ConfigPaths,
    before: str | None,
    text: str,
    env: Mapping[str, str],
    overrides: Mapping[str, Any] | None,
) -> Prepared:
    after = load_text(paths, text, env=env, overrides=overrides)
    # What the command line sets hides what the file says of it; the next start may not set it.
    beneath = load_text(paths, text, env=without_port(env))
    if refusals := refusals_of(after) or beneath.issues:
        raise ConfigError(refusals)
    return Prepared(before, text, after)


def restore_text(paths: ConfigPaths, prepared: Prepared) -> Path | None:
    """Put back what was in the file before a change, unless somebody has edited it since.

    Returns:
        Where the text that is taken back is kept.
    """
    kept = keep_rejected(paths.config_file, prepared.text)
    with directory_lock(paths.config_file.parent):
        if _current(paths) != prepared.text or not prepared.changes_anything:
            return kept
        if prepared.before is None:  # an empty file would be a wish for the defaults
            paths.config_file.unlink(missing_ok=True)
        else:
            write_atomic(paths.config_file, prepared.before)
    return kept


def changed_text(text: str, change: Change) -> str:
    """Return the text with one change made.

    Raises:
        SpliceError: it cannot be made in place.
        KeyError: nothing is there to change.
    """
    steps = change.path
    if change.remove:
        changed = unset_in_text(text, steps)
        _verify(text, changed, lambda tree: _delete_at(tree, steps))
    else:
        changed = set_in_text(text, steps, change.value)
        _verify(text, changed, lambda tree: set_at(tree, steps, change.value))
    return changed


def write_prepared(paths: ConfigPaths, prepared: Prepared) -> None:
    """Write a prepared change, if the file is still what it was prepared from.

    Raises:
        StaleEdit: it is not; nothing was written.
    """
    make_private_directory(paths.config_file.parent)
    with directory_lock(paths.config_file.parent):
        if _current(paths) != prepared.before:
            raise StaleEdit
        if prepared.changes_anything:
            if prepared.before is not None:
                keep_backup(paths.config_file, prepared.before)
            write_atomic(paths.config_file, prepared.text)


def replace_text(
    paths: ConfigPaths, raw: str, *, env: Mapping[str, str], base_hash: str | None = None
) -> EditResult:
    """Replace the whole file.

    Raises:
        ConfigError: as for `set_value`.
    """
    return edit_text(paths, lambda _: raw, env=env, base_hash=base_hash)


def edit_text(
    paths: ConfigPaths,
    change: Rewriting,
    *,
    path: str = "",
    env: Mapping[str, str],
    base_hash: str | None = None,
) -> EditResult:
    """Change the file's text.

    Args:
        path: the one setting it is about.

    Raises:
        ConfigError: as for `set_value`.
    """
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
            if before is not None:
                keep_backup(paths.config_file, before)
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
    """Keep a text nobody has run with, where there is none that somebody has."""
    if paths.last_good.exists():
        return
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
    "Change",
    "EditResult",
    "Prepared",
    "StaleEdit",
    "changed_text",
    "edit_text",
    "format_path",
    "parse_value",
    "prepare",
    "prepare_text",
    "replace_text",
    "restore_text",
    "set_value",
    "setting",
    "unset_value",
    "unsetting",
    "write_prepared",
]
