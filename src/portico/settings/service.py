"""Following the configuration while the gateway runs: the file, and what to restart for.

Theory of operation: the watch says that a file has changed. By `gateway.reload.mode` the change is
taken over (`hot`, `hybrid`), only judged (`off`), or waits for a restart (`restart`). What nothing
in the process can take over is restarted for in `hybrid`, not sooner than the cool-down allows.

A restart that fails with a changed text takes the text back. A gateway that was killed before it
could, or that was started with a text nobody has run with, is started with the last good one when
it does not come up (`cli.gateway`); the file is left alone then.

Guarantees: what becomes of a change is logged, audited and shown by `portico status`; a file that
is broken, or gone, changes nothing that runs.

Not here: taking a change over (`config.live`), how a process restarts (handed in).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from portico.audit.service import Audit
from portico.clock import Clock
from portico.config.issues import ConfigError
from portico.config.live import LiveConfig
from portico.config.notices import Notice
from portico.settings.watch import FileWatch
from portico.tasks import Tasks

if TYPE_CHECKING:
    from portico.config.sections.gateway import Reload
    from portico.config.service import LoadedConfig

log = structlog.get_logger()

RequestRestart = Callable[[str], None]
"""Asks for the process to be replaced soon; says why. Returns at once."""
MAX_PATHS_SHOWN = 20


def restart_unavailable(reason: str) -> None:
    """Say that nobody restarts this process."""
    log.warning("config.no_restart", reason=reason, next="restart it: portico gateway restart")


class Settings:
    """Keeps what runs and the config file together."""

    def __init__(
        self,
        live: LiveConfig,
        *,
        audit: Audit,
        clock: Clock,
        tasks: Tasks,
        request_restart: RequestRestart,
        started_ms: int,
    ) -> None:
        self.live = live
        self._audit = audit
        self._clock = clock
        self._tasks = tasks
        self._request_restart = request_restart
        self._started_ms = started_ms
        self._restart: asyncio.Task[None] | None = None
        self._restart_due_ms: int | None = None
        self._refused: dict[str, Any] | None = None
        self._rolled_back: dict[str, Any] | None = None
        self._back_at: str | None = None
        self._tried: str | None = None
        live.notify(self._noted)

    @property
    def reload(self) -> Reload:
        """How changes are followed, now."""
        return self.live.loaded.require().gateway.reload

    def start(self) -> None:
        """Begin to watch the files."""
        watch = FileWatch(
            self._files,
            changed=self.follow_file,
            clock=self._clock,
            debounce_s=lambda: self.reload.debounce_ms / 1000,
        )
        self._tasks.start(watch.run(), name="config.watch")
        if self.live.loaded.from_last_good:
            self._tasks.start(self._record_last_good(), name="config.audit")
        if self.live.loaded.is_recovery:
            self.look_now()  # it may have been mended meanwhile

    def _files(self) -> Iterable[Path]:
        loaded = self.live.loaded
        return (loaded.paths.config_file, *loaded.included)

    def look_now(self) -> None:
        """Do not wait for the watch."""
        self._tasks.start(self.follow_file(), name="config.follow")

    async def follow_file(self) -> None:
        """Do what the reload mode says about what is in the file now."""
        if self.reload.mode in {"off", "restart"}:
            await self._judge_file()
            return
        try:
            loaded = await self.live.adopt()
        except ConfigError:
            return  # it has been said
        if loaded is not None:
            await self._audit.record(
                "config.reloaded", actor="file", target=str(loaded.paths.config_file)
            )

    async def _judge_file(self) -> None:
        try:
            found = await self.live.inspect()
        except ConfigError:
            return  # it has been said
        if found is not None and self.reload.mode == "restart":
            self.restart_for(found)

    def restart_for(self, loaded: LoadedConfig) -> dict[str, Any]:
        """Restart soon, with a configuration that is in the file."""
        changed, _ = self.live.plan(loaded)
        return self._schedule(sorted({str(path[0]) for path in changed}))

    def after_change(self) -> dict[str, Any] | None:
        """Restart soon if a change needs it and the mode says so; return what is planned."""
        waiting = self.live.waiting
        if not waiting or self.reload.mode not in {"hybrid", "restart"}:
            return None
        return self._schedule(waiting)

    def _schedule(self, paths: list[str]) -> dict[str, Any]:
        reason = "config: " + ", ".join(paths[:MAX_PATHS_SHOWN])
        now = self._clock.now_ms()
        is_planned = self._restart is not None and not self._restart.done()
        if not is_planned:
            due = max(now, self._started_ms + self.reload.restart_cooldown_ms)
            self._restart_due_ms = due
            self._restart = self._tasks.start(self._restart_at(due, reason), name="config.restart")
        delay = max(0, (self._restart_due_ms or now) - now)
        return {"ok": True, "reason": reason, "delayMs": delay, "coalesced": is_planned}

    async def _restart_at(self, due_ms: int, reason: str) -> None:
        delay_s = max(0, due_ms - self._clock.now_ms()) / 1000
        log.info("config.restart_planned", reason=reason, in_s=round(delay_s, 1))
        await asyncio.sleep(delay_s)
        self._restart_due_ms = None
        if self.reload.mode == "hybrid" and not self.live.waiting:
            return  # it was taken back meanwhile
        await self._audit.record("gateway.restart_requested", actor="config", target=reason)
        self._request_restart(reason)

    # -- a restart that fails --------------------------------------------------------------------

    async def restart_begins(self) -> None:
        """Note which text the new process is started with."""
        self._tried = await self.live.file_hash()

    async def restart_failed(self, why: str) -> str:
        """Take the text of the file back if the new process had another one; return why, in all."""
        tried, self._tried = self._tried, None
        try:
            issue = await self.live.take_back(tried, why)
        except (ConfigError, OSError) as error:
            log.error("config.not_taken_back", error=str(error))
            return f"{why}; the config file could not be put back: {error}"
        if issue is not None:
            return f"{why}; the config file is the last good one again: {issue.next_step}"
        if tried is not None and tried != await self.live.file_hash():
            self.look_now()  # it has been mended meanwhile, perhaps
            self.after_change()
        return why

    def _noted(self, notice: Notice) -> None:
        told = {
            "at": self._clock.now_ms(),
            "hash": notice.config.hash,
            "issues": [issue.to_wire() for issue in notice.issues],
            **({"kept": notice.kept} if notice.kept else {}),
        }
        if notice.kind == "changed":
            self._refused = None
            self.after_change()
            return
        if notice.kind == "rolled_back":
            self._rolled_back, self._back_at = told, self.live.loaded.hash
        else:
            self._refused = told
        self._tasks.start(self._record(notice, told), name="config.audit")

    async def _record(self, notice: Notice, told: Mapping[str, Any]) -> None:
        await self._audit.record(
            f"config.{notice.kind}",
            actor="gateway",
            target=str(notice.config.paths.config_file),
            outcome="failed" if notice.kind == "rolled_back" else "refused",
            details=told,
        )

    async def _record_last_good(self) -> None:
        loaded = self.live.loaded
        await self._audit.record(
            "config.last_good",
            actor="gateway",
            target=str(loaded.paths.config_file),
            outcome="failed",
            details={"issues": [issue.to_wire() for issue in loaded.issues]},
        )

    def remarks(self) -> list[dict[str, Any]]:
        """Return what `config.get` has to say beside the file: why what runs is not as was wished.

        What the file itself says is not repeated.
        """
        loaded = self.live.loaded
        found = [one.to_wire() for one in loaded.issues] if loaded.from_last_good else []
        if self._rolled_back is not None and self._back_at == loaded.hash:
            found += self._rolled_back["issues"]
        return found

    def degraded_owners(self) -> list[dict[str, Any]]:
        """Return who does without a secret that cannot be had."""
        from portico.config.owners import owner_of

        found: list[dict[str, Any]] = []
        for issue in self.live.loaded.degraded:
            kind, owner_id = owner_of(issue.path) or ("gateway", "")
            found.append(
                {
                    "ownerKind": kind,
                    "ownerId": owner_id,
                    "state": "cold",
                    "paths": [issue.path],
                    "reason": issue.message,
                }
            )
        return found

    def status(self) -> dict[str, Any]:
        """Return how the configuration stands, for `status`."""
        loaded = self.live.loaded
        shown: dict[str, Any] = {
            "path": str(loaded.paths.config_file),
            "mode": self.reload.mode,
            "revisionHash": loaded.revision_hash,
            "appliedHash": self.live.applied_hash,
            "needsRestart": self.live.waiting[:MAX_PATHS_SHOWN],
            "fromLastGood": loaded.from_last_good,
            "recovery": loaded.is_recovery,
        }
        optional = {
            "restartAt": self._restart_due_ms,
            "refused": self._refused,
            "rolledBack": self._rolled_back,
        }
        return shown | {name: value for name, value in optional.items() if value is not None}
