"""What the text of the config file becomes: for a whole new text, and for a merge patch.

Guarantees: comments in the file survive wherever its text is not replaced by one that has some;
secrets a client was not shown stay what they were; nothing is based on an older file than said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from portico.config.edit import Change, changed_text
from portico.config.issues import ConfigError
from portico.config.merging import changes_between, dropped_entries, merged
from portico.config.restoring import restored, restored_text
from portico.config.service import LoadedConfig
from portico.config.splice import SpliceError
from portico.config.text import TextError, read_json5
from portico.protocol.errors import InvalidRequest
from portico.settings.rpc import FILE_GONE, HASH_REQUIRED, HASH_STALE

Rewrite = Callable[[LoadedConfig], str]
ANY = ""
"""For a change that is only considered: whatever the file is."""


def replacing(raw: str, base_hash: str | None) -> Rewrite:
    """Say what the file becomes when its text is replaced."""

    def rewrite(now: LoadedConfig) -> str:
        _check_hash(now, base_hash)
        text = restored_text(raw, now.parsed)
        return _with_comments(now, text) or text

    return rewrite


def patching(
    raw: str, base_hash: str | None, replace: frozenset[str], *, had_file: bool = False
) -> Rewrite:
    """Say what the file becomes when parts of it are changed.

    Args:
        had_file: what runs came from a file. When that is gone, a patch alone would leave out all
            that stood in it, the token first of all.
    """

    def rewrite(now: LoadedConfig) -> str:
        _check_hash(now, base_hash)
        if had_file and not now.exists:
            raise InvalidRequest(FILE_GONE)
        if now.issues:
            raise ConfigError(now.issues)
        patch = restored(_patch(raw), now.source)
        try:
            wanted = merged(now.source, patch, replace=replace)
        except ValueError as error:
            raise InvalidRequest(str(error)) from None
        _check_dropped(now.source, wanted, replace)
        return _edited(now.raw or "", changes_between(now.source, wanted))

    return rewrite


def _check_hash(now: LoadedConfig, base_hash: str | None) -> None:
    if base_hash == ANY:
        return
    if base_hash is None:
        if now.exists and now.hash is not None:
            raise InvalidRequest(HASH_REQUIRED)
    elif base_hash != now.hash:
        raise InvalidRequest(HASH_STALE)


def _patch(raw: str) -> dict[str, Any]:
    try:
        patch = read_json5(raw)
    except TextError as error:
        raise InvalidRequest(f"config.patch raw is not JSON5: {error}") from None
    if not isinstance(patch, dict):
        raise InvalidRequest("config.patch raw must be an object")
    return patch


def _check_dropped(before: Any, after: Any, replace: frozenset[str]) -> None:
    lost = [path for path in dropped_entries(before, after) if path not in replace]
    if lost:
        raise InvalidRequest(
            f"config.patch would remove entries from array path(s): {', '.join(lost)}. Pass "
            "replacePaths with the exact path(s) when this is intentional, or use config.apply for "
            "full-config replacement."
        )


def _edited(text: str, changes: Iterable[Change]) -> str:
    try:
        for change in changes:
            text = changed_text(text, change)
    except (SpliceError, TextError, KeyError) as error:
        reason = str(error.args[0]) if error.args else str(error)
        raise InvalidRequest(f"the config file cannot be changed in place: {reason}") from None
    return text


def _with_comments(now: LoadedConfig, text: str) -> str | None:
    """The file with the settings of a text that has no comments, and its own comments kept."""
    try:
        wanted = json.loads(text)  # JSON proper: a form has written it, or a program
    except ValueError:
        return None
    if not isinstance(wanted, dict) or now.raw is None or not now.parsed or now.issues:
        return None
    try:
        kept = _edited(now.raw, changes_between(now.parsed, wanted))
        return kept if read_json5(kept) == wanted else None
    except (InvalidRequest, TextError):
        return None
