"""Who is made from which settings, and how they follow a change.

A follower names prefixes: `agents` for everything about agents, `gateway.auth.rateLimit` for that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from portico.config.fields import is_group
from portico.config.keypath import KeyPath, format_path, parse_path
from portico.config.schema import reload_kind

if TYPE_CHECKING:
    from portico.config.service import LoadedConfig

Commit = Callable[[], None]
"""Takes over what was staged. Never raises."""
Stage = Callable[["LoadedConfig"], Commit]
"""Makes what a new configuration asks for, without effects yet.

Raises:
    ConfigError: it cannot be had.
"""


class Followers:
    """Everybody who follows the configuration."""

    def __init__(self) -> None:
        self._all: list[tuple[tuple[KeyPath, ...], Stage]] = []

    def add(self, prefixes: Iterable[str], stage: Stage) -> None:
        """Let somebody be remade whenever something below one of the prefixes has changed."""
        self._all.append((tuple(parse_path(prefix) for prefix in prefixes), stage))

    def stage(self, changed: Iterable[KeyPath], new: LoadedConfig) -> list[Commit]:
        """Let everybody a change concerns prepare for it; return how they take it over."""
        paths = [_names(path) for path in changed]
        return [
            stage(new)
            for prefixes, stage in self._all
            if any(_meet(path, prefix) for path in paths for prefix in prefixes)
        ]

    def covers(self, path: KeyPath) -> bool:
        """Whether somebody follows this very setting."""
        names = _names(path)
        return any(names[: len(one)] == one for prefixes, _ in self._all for one in prefixes)

    def left_for_a_restart(self, changed: Iterable[KeyPath]) -> list[str]:
        """Return which changed settings nothing in this process takes over."""
        kinds = {path: reload_kind(format_path(path)) for path in changed if not is_group(path)}
        return sorted(
            format_path(path)
            for path, kind in kinds.items()
            if kind == "restart" or (kind == "hot" and not self.covers(path))
        )


def changed_paths(before: Any, after: Any, path: KeyPath = ()) -> set[KeyPath]:
    """Return where two trees differ; a list that differs is one difference."""
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return set() if _is_same(before, after) else _leaves(before, after, path)
    found: set[KeyPath] = set()
    for name in {*before, *after}:
        if name not in before or name not in after:
            found |= _leaves(before.get(name), after.get(name), (*path, name))
        else:
            found |= changed_paths(before[name], after[name], (*path, name))
    return found


def _is_same(before: Any, after: Any) -> bool:
    """Whether two values read the same; NaN, which JSON5 has, equals nothing, itself included."""
    return before == after or (
        type(before) is type(after) and json.dumps(before) == json.dumps(after)
    )


def _leaves(before: Any, after: Any, path: KeyPath) -> set[KeyPath]:
    """What comes or goes with a whole object is what is in it."""
    found = {
        leaf
        for tree in (before, after)
        if isinstance(tree, Mapping)
        for name, value in tree.items()
        for leaf in _leaves(value, None, (*path, name))
    }
    return found or {path}


def _names(path: KeyPath) -> KeyPath:
    return tuple(str(step) for step in path)


def _meet(path: KeyPath, prefix: KeyPath) -> bool:
    shared = min(len(path), len(prefix))
    return path[:shared] == prefix[:shared]
