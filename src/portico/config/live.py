"""The configuration a gateway runs with, and the one way it changes while it runs.

Theory of operation: whoever is made from settings follows them: for a new configuration it *stages*
what it will be, which may fail, and returns how to take that over, which may not. An edit is worked
out against the file, staged by every follower, written, and then taken over by all. So either the
file and everything made from it change, or nothing does.

Guarantees: edits happen one after another, also against other processes that edit the file (a
change of theirs in between is seen, and the edit worked out again); a refused edit leaves the file
and what runs as they were. Settings nobody follows wait for a restart: `applied_hash` stays what it
was.

Not here: noticing that somebody else has edited the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from portico.config.edit import Change, Prepared, StaleEdit, prepare, write_prepared
from portico.config.issues import ConfigError, Issue, Severity
from portico.config.keypath import KeyPath, format_path
from portico.config.schema import reload_kind
from portico.config.service import LoadedConfig

log = structlog.get_logger()

ATTEMPTS = 5

Commit = Callable[[], None]
"""Takes over what was staged. Never raises."""
Stage = Callable[[LoadedConfig], Commit]
"""Makes what a new configuration asks for, without effects yet.

Raises:
    ConfigError: it cannot be had.
"""
Decide = Callable[[LoadedConfig], Sequence[Change]]


class LiveConfig:
    """What the gateway runs with; who follows it; the edits."""

    def __init__(self, loaded: LoadedConfig, *, env: Mapping[str, str]) -> None:
        self._loaded = loaded
        self._applied = loaded
        self._env = env
        self._followers: list[tuple[tuple[str, ...], Stage]] = []
        self._listeners: list[Callable[[LoadedConfig], None]] = []
        self._edits = asyncio.Lock()

    @property
    def loaded(self) -> LoadedConfig:
        """The configuration as it is in the file now, as far as this process knows."""
        return self._loaded

    @property
    def applied_hash(self) -> str:
        """The revision everything in this process runs with."""
        return self._applied.revision_hash

    def follow(self, *sections: str, stage: Stage) -> None:
        """Let somebody be remade whenever one of these top-level sections has changed."""
        self._followers.append((sections, stage))

    def listen(self, heard: Callable[[LoadedConfig], None]) -> None:
        """Tell somebody of every change, once it is in force. It must not raise."""
        self._listeners.append(heard)

    async def edit(self, decide: Decide) -> LoadedConfig:
        """Change the file and everything that follows it; return what is in force then.

        Once begun, an edit goes on to its end, whoever stops waiting for it.

        Args:
            decide: says what to change, knowing what the file holds; may be asked more than once,
                in another thread.

        Raises:
            ConfigError: the file is broken, or would be; or a follower cannot have it.
        """
        return await asyncio.shield(self._edit(decide))

    async def _edit(self, decide: Decide) -> LoadedConfig:
        async with self._edits:
            for _ in range(ATTEMPTS):
                prepared = await asyncio.to_thread(self._prepare, decide)
                commits = self._stage(prepared.loaded)
                try:
                    await asyncio.to_thread(self._write, prepared)
                except StaleEdit:
                    continue
                self._commit(prepared, commits)
                return prepared.loaded
        raise ConfigError([self._busy()])

    def _prepare(self, decide: Decide) -> Prepared:
        return prepare(self._loaded.paths, decide, env=self._env, overrides=self._loaded.overrides)

    def _write(self, prepared: Prepared) -> None:
        write_prepared(self._loaded.paths, prepared, env=self._env)

    def _stage(self, new: LoadedConfig) -> list[Commit]:
        changed = {path[0] for path in changed_paths(self._loaded.resolved, new.resolved)}
        return [
            stage(new) for sections, stage in self._followers if not changed.isdisjoint(sections)
        ]

    def _commit(self, prepared: Prepared, commits: Sequence[Commit]) -> None:
        self._loaded = prepared.loaded
        for commit in commits:
            commit()
        if waiting := self._waiting():
            log.warning("config.needs_restart", paths=waiting)
        else:
            self._applied = self._loaded
        if prepared.changes_anything:
            log.info("config.changed", hash=self._loaded.hash)
            for heard in self._listeners:
                heard(self._loaded)

    def _waiting(self) -> list[str]:
        """The changed settings that nothing in this process has taken over."""
        followed = {section for sections, _ in self._followers for section in sections}
        changed = changed_paths(self._applied.resolved, self._loaded.resolved)
        kinds = {path: reload_kind(format_path(path)) for path in changed}
        return sorted(
            format_path(path)
            for path, kind in kinds.items()
            if kind == "restart" or (kind == "hot" and path[0] not in followed)
        )

    def _busy(self) -> Issue:
        return Issue(
            Severity.ERROR,
            "",
            "the config file is being changed by somebody else",
            "try again",
            "edit.busy",
            str(self._loaded.paths.config_file),
        )


def changed_paths(before: Any, after: Any, path: KeyPath = ()) -> set[KeyPath]:
    """Return where two trees differ; a list that differs is one difference."""
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return set() if before == after else {path}
    found: set[KeyPath] = set()
    for name in {*before, *after}:
        if name not in before or name not in after:
            found.add((*path, name))
        else:
            found |= changed_paths(before[name], after[name], (*path, name))
    return found
