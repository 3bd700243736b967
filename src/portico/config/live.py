"""The configuration a gateway runs with, and the one way it changes while it runs.

Theory of operation: whoever is made from settings follows them: for a new configuration it *stages*
what it will be, which may fail, and returns how to take that over, which may not. An edit is worked
out against the file, staged by every follower, written, and then taken over by all. So either the
file and everything made from it change, or nothing does. Then what runs is *tried*: when it is not
well, the file and everything go back to what they were, and the refused text is kept beside it.
What waits for a restart is tried by the new process; when that does not come up, it is taken back,
too.

Guarantees: edits happen one after another, also against other processes that edit the file (a
change of theirs in between is seen, and the edit worked out again); a refused edit leaves the file
and what runs as they were. Settings nobody follows wait for a restart: `applied_hash` stays what it
was. A file somebody else has broken, or removed, changes nothing that runs. The last good text is
one that everything has run with.

Not here: noticing that somebody else has edited the file, and restarts (the room of settings).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from portico.config.backups import keep_rejected
from portico.config.edit import (
    Change,
    Prepared,
    StaleEdit,
    prepare,
    prepare_text,
    restore_text,
    write_prepared,
)
from portico.config.followers import Commit, Followers, Stage, changed_paths
from portico.config.issues import ConfigError, Issue, Severity
from portico.config.keypath import KeyPath
from portico.config.notices import Notice, NoticeKind
from portico.config.service import LoadedConfig, load, load_text, refusals_of, remember_good

__all__ = ["Commit", "Decide", "LiveConfig", "Notice", "Stage", "Trial", "changed_paths"]

log = structlog.get_logger()

ATTEMPTS = 5

Decide = Callable[[LoadedConfig], Sequence[Change]]
Rewrite = Callable[[LoadedConfig], str]
"""Says what the whole text becomes, knowing what the file holds (it may be broken)."""
Prepare = Callable[[], Prepared]


class Trial(Protocol):
    """Says whether a gateway is well with a configuration it has just taken over."""

    def begin(self, changed: set[KeyPath]) -> Any:
        """Note how things are before the change."""
        ...

    async def verdict(self, begun: Any) -> str | None:
        """Return why the gateway is not well, or `None`; within a bounded time."""
        ...


class LiveConfig:
    """What the gateway runs with; who follows it; the edits."""

    def __init__(self, loaded: LoadedConfig, *, env: Mapping[str, str]) -> None:
        self._loaded = loaded
        self._applied = loaded
        self._env = env
        self._followers = Followers()
        self._listeners: list[Callable[[LoadedConfig], None]] = []
        self._noted: list[Callable[[Notice], None]] = []
        self._trial: Trial | None = None
        self._edits = asyncio.Lock()
        # What was looked at last and found not to be had: it is not tried again and again.
        self._refused: tuple[str | None, str] | None = None

    @property
    def loaded(self) -> LoadedConfig:
        """The configuration as it is in the file now, as far as this process knows."""
        return self._loaded

    @property
    def applied_hash(self) -> str:
        """The revision everything in this process runs with."""
        return self._applied.revision_hash

    @property
    def waiting(self) -> list[str]:
        """The changed settings that nothing in this process has taken over."""
        changed = changed_paths(self._applied.resolved, self._loaded.resolved)
        return self._followers.left_for_a_restart(changed)

    def follow(self, *prefixes: str, stage: Stage) -> None:
        """Let somebody be remade whenever something below one of these prefixes has changed."""
        self._followers.add(prefixes, stage)

    def is_followed(self, path: KeyPath) -> bool:
        """Whether somebody follows this very setting."""
        return self._followers.covers(path)

    def listen(self, heard: Callable[[LoadedConfig], None]) -> None:
        """Tell somebody of every change, once it is in force. It must not raise."""
        self._listeners.append(heard)

    def notify(self, noted: Callable[[Notice], None]) -> None:
        """Tell somebody what became of changes. It must not raise."""
        self._noted.append(noted)

    def try_with(self, trial: Trial) -> None:
        """Take a change back when the gateway is not well with it."""
        self._trial = trial

    def plan(self, new: LoadedConfig) -> tuple[set[KeyPath], list[str]]:
        """Return what taking over a configuration would change, and what of it needs a restart."""
        changed = changed_paths(self._loaded.resolved, new.resolved)
        return changed, self._followers.left_for_a_restart(changed)

    def consider(self, rewrite: Rewrite) -> LoadedConfig:
        """Return what the file would become, without writing it; it may be unacceptable."""
        now = self._load()
        return load_text(now.paths, rewrite(now), env=self._env, overrides=self._loaded.overrides)

    async def edit(self, decide: Decide) -> LoadedConfig:
        """Change the file and everything that follows it; return what is in force then.

        Once begun, an edit goes on to its end, whoever stops waiting for it.

        Args:
            decide: says what to change, knowing what the file holds; may be asked more than once,
                in another thread.

        Raises:
            ConfigError: the file is broken, or would be; a follower cannot have it; or the gateway
                was not well with it, and has gone back.
        """
        return await asyncio.shield(
            self._edit(
                lambda: prepare(
                    self._loaded.paths, decide, env=self._env, overrides=self._loaded.overrides
                )
            )
        )

    async def replace(self, rewrite: Rewrite, *, is_applied: bool = True) -> LoadedConfig:
        """Write another text, also over a broken one, and take it over.

        Args:
            is_applied: False: it is only checked and written; what runs follows later.

        Raises:
            ConfigError: as for `edit`.
        """
        return await asyncio.shield(
            self._edit(
                lambda: prepare_text(
                    self._loaded.paths, rewrite, env=self._env, overrides=self._loaded.overrides
                ),
                is_applied=is_applied,
            )
        )

    async def adopt(self) -> LoadedConfig | None:
        """Take over what somebody else has written into the file, or into what it includes.

        Returns:
            What is in force then; `None` when there was nothing new.

        Raises:
            ConfigError: it is broken, or cannot be had; what runs stays as it was.
        """
        return await asyncio.shield(self._adopt())

    async def take_back(self, tried: str | None, why: str) -> Issue | None:
        """Put back the text that everything here runs with: a restart with another one has failed.

        Args:
            tried: the hash of the text the restart was made with.

        Returns:
            What was done; `None`: the text was not to blame, has changed since, or cannot be used
            at all, so that nobody would start with it.
        """
        return await asyncio.shield(self._take_back(tried, why))

    async def _take_back(self, tried: str | None, why: str) -> Issue | None:
        async with self._edits:
            new, good = await asyncio.to_thread(self._load), self._applied
            is_same = new.hash != tried or new.raw == good.raw
            if is_same or good.is_recovery or refusals_of(new) or _gone(new):
                return None
            prepared = Prepared(good.raw, new.raw or "", new)
            return await self._go_back(prepared, good, good, f"a restart with it failed: {why}")

    async def file_hash(self) -> str | None:
        """Return the hash of the text in the file now."""
        return (await asyncio.to_thread(self._load)).hash

    async def inspect(self) -> LoadedConfig | None:
        """Return what somebody else has written into the file, without taking it over.

        Raises:
            ConfigError: it is broken.
        """
        new = await asyncio.to_thread(self._load)
        if self._is_known(new):
            return None
        try:
            _check(new)
        except ConfigError as error:
            self._refuse(new, error)
            raise
        return new

    def _load(self) -> LoadedConfig:
        return load(self._loaded.paths, env=self._env, overrides=self._loaded.overrides)

    def _is_known(self, new: LoadedConfig) -> bool:
        found = (new.raw, new.revision_hash)
        if found == (self._loaded.raw, self._loaded.revision_hash):
            self._refused = None  # whoever writes it again wants it tried again
            return True
        return found == self._refused

    async def _adopt(self) -> LoadedConfig | None:
        async with self._edits:
            new = await asyncio.to_thread(self._load)
            if self._is_known(new):
                return None
            try:
                _check(new)
                await self._take(Prepared(self._loaded.raw, new.raw or "", new), is_written=True)
            except ConfigError as error:
                self._refuse(new, error)
                raise
            return new

    async def _edit(self, prepare_now: Prepare, *, is_applied: bool = True) -> LoadedConfig:
        async with self._edits:
            for _ in range(ATTEMPTS):
                prepared = await asyncio.to_thread(prepare_now)
                try:
                    if is_applied:
                        await self._take(prepared)
                    else:
                        self._stage(prepared.loaded)  # whether it could be had
                        await asyncio.to_thread(self._write, prepared)
                except StaleEdit:
                    continue
                return prepared.loaded
        raise ConfigError([self._busy()])

    async def _take(self, prepared: Prepared, *, is_written: bool = False) -> None:
        before, applied = self._loaded, self._applied
        changed = changed_paths(before.resolved, prepared.loaded.resolved)
        commits = self._stage(prepared.loaded)
        if not is_written:
            await asyncio.to_thread(self._write, prepared)
        trial = self._trial if changed else None
        begun = None if trial is None else trial.begin(changed)
        self._commit(prepared.loaded, commits, is_news=prepared.changes_anything or is_written)
        why = None if trial is None else await trial.verdict(begun)
        if why is not None:
            raise ConfigError([await self._go_back(prepared, before, applied, why)])
        if self._applied is prepared.loaded and (prepared.changes_anything or is_written):
            await asyncio.to_thread(remember_good, prepared.loaded)

    def _write(self, prepared: Prepared) -> None:
        remember_good(self._applied)
        write_prepared(self._loaded.paths, prepared)

    def _stage(self, new: LoadedConfig) -> list[Commit]:
        return self._followers.stage(changed_paths(self._loaded.resolved, new.resolved), new)

    def _commit(self, new: LoadedConfig, commits: Sequence[Commit], *, is_news: bool) -> None:
        self._loaded = new
        self._refused = None
        for commit in commits:
            commit()
        if waiting := self.waiting:
            log.warning("config.needs_restart", paths=waiting)
        else:
            self._applied = self._loaded
        if is_news:
            log.info("config.changed", hash=self._loaded.hash)
            for heard in self._listeners:
                heard(self._loaded)
            self._note("changed", new)

    async def _go_back(
        self, prepared: Prepared, before: LoadedConfig, applied: LoadedConfig, why: str
    ) -> Issue:
        """Return to what ran before, and keep what was refused beside the file."""
        log.error("config.rolled_back", reason=why, hash=prepared.loaded.hash)
        commits = self._stage(before)
        kept = await asyncio.to_thread(restore_text, before.paths, prepared)
        self._applied = applied  # what was taken back is not what a restart is compared with
        self._commit(before, commits, is_news=True)
        issue = Issue(
            Severity.ERROR,
            "",
            f"the gateway was not well with it and went back to the last good one: {why}",
            "correct it and apply it again" + (f"; it is in {kept}" if kept else ""),
            "config.rolled_back",
            str(before.paths.config_file),
        )
        self._refused = (prepared.loaded.raw, prepared.loaded.revision_hash)
        self._note("rolled_back", prepared.loaded, [issue], str(kept) if kept else None)
        return issue

    def _refuse(self, new: LoadedConfig, error: ConfigError) -> None:
        if self._refused == (new.raw, new.revision_hash):
            return  # it was taken back, and that has been said
        self._refused = (new.raw, new.revision_hash)
        log.error("config.refused", issues=[issue.render() for issue in error.issues])
        self._note("refused", new, error.issues)

    def _note(
        self,
        kind: NoticeKind,
        config: LoadedConfig,
        issues: Sequence[Issue] = (),
        kept: str | None = None,
    ) -> None:
        notice = Notice(kind, config, tuple(issues), kept)
        for noted in self._noted:
            noted(notice)

    def _busy(self) -> Issue:
        return Issue(
            Severity.ERROR,
            "",
            "the config file is being changed by somebody else",
            "try again",
            "edit.busy",
            str(self._loaded.paths.config_file),
        )


def _check(new: LoadedConfig) -> None:
    if refusals := refusals_of(new) or _gone(new):
        raise ConfigError(refusals)


def _gone(new: LoadedConfig) -> list[Issue]:
    """A file that is suddenly not there is not a wish for the defaults."""
    if new.exists:
        return []
    file = str(new.paths.config_file)
    return [
        Issue(
            Severity.ERROR,
            "",
            "the config file is gone; the gateway goes on with what it had",
            "put it back: a copy is beside it",
            "file.gone",
            file,
        )
    ]


def keep_refused_text(loaded: LoadedConfig, text: str) -> str | None:
    """Keep a text that somebody wanted to write and that is not acceptable; return where."""
    kept = keep_rejected(loaded.paths.config_file, text)
    return None if kept is None else str(kept)
