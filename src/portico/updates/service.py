"""Updates: look, install, check, restart, and go back when a step fails.

Theory of operation: what will be replaced is copied first; the newer version is installed in place
and tried in a process of its own (imports, the configuration); then the gateway restarts without a
gap. The new process finds the update in the log and ends it. When the new process does not come up,
the old one is still there: it puts the former files back and goes on.

Guarantees: nothing is installed unless the configuration allows it and somebody asks; one update at
a time; each is recorded and audited; whoever asked in a conversation is told there how it ended.

Not here: how packages are installed (installer.py), how a process hands over (`portico.line`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import structlog

from portico import __version__
from portico.clock import Clock
from portico.events.hub import Hub
from portico.ids import new_uuid
from portico.process.lock import LastRestart
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.tasks import Tasks
from portico.updates.log import UpdateLog
from portico.updates.model import (
    Available,
    Phase,
    Status,
    Step,
    Target,
    Trigger,
    UpdateRun,
    Version,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from portico.updates.installer import Installer

log = structlog.get_logger()

MAX_REASON = 1_000
NOTICE_S = 30.0
Tell = Callable[[str, str], Awaitable[object]]


class Restarter(Protocol):
    """Replaces the process."""

    supported: bool

    def request(self, reason: str, *, delay_s: float = 0.0) -> object:
        """Ask for a restart."""
        ...

    def on_failure(self, tell: Callable[[LastRestart], None]) -> None:
        """Have somebody told when one was rolled back."""
        ...


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """What is allowed, and where newer versions come from."""

    allow: bool = False
    check_on_start: bool = False
    channel: str = "stable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who wants an update, and whom to tell."""

    trigger: Trigger
    origin: dict[str, Any]
    restart_delay_s: float = 0.0


class Updates:
    """The updates of this gateway.

    Args:
        installer: makes what installs; made when it is first used.
        tell: tells the agent of a conversation something.
    """

    def __init__(
        self,
        *,
        installer: Callable[[], Installer],
        runs: UpdateLog,
        restarts: Restarter,
        hub: Hub,
        clock: Clock,
        tasks: Tasks,
        tell: Tell,
        settings: UpdateSettings,
    ) -> None:
        self._make_installer = installer
        self._made: Installer | None = None
        self._runs = runs
        self._restarts = restarts
        self._hub = hub
        self._clock = clock
        self._tasks = tasks
        self._tell = tell
        self._busy = asyncio.Lock()
        self._waiting: UpdateRun | None = None
        self.settings = settings
        self.available: Available | None = None
        restarts.on_failure(self._restart_failed)

    @property
    def _installer(self) -> Installer:
        if self._made is None:
            self._made = self._make_installer()
        return self._made

    def configure(self, settings: UpdateSettings) -> None:
        """Do otherwise from now on; an update on its way goes on as it began."""
        self.settings = settings
        if not self._busy.locked():
            self._made = None

    @property
    def awaits_restart(self) -> bool:
        """Whether a newer version is installed and about to be started."""
        return self._waiting is not None

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """End what the former process began, in the background; look, if that is wanted."""
        self._tasks.start(self._begin(), name="updates")

    async def _begin(self) -> None:
        for run in await asyncio.to_thread(self._runs.runs):
            if run.status == "running":
                await self._finish_left(run)
        if self.settings.check_on_start:
            try:
                await self.look()
            except Unavailable as error:
                log.warning("update.look_failed", error=str(error))

    async def _finish_left(self, run: UpdateRun) -> None:
        is_it = run.phase in ("restarting", "verifying") and run.target.version == __version__
        verified = {"booted": True, "runningVersion": __version__, "versionMatch": is_it}
        if is_it:
            await self._end(
                run, "succeeded", None, after=Version(__version__), verification=verified
            )
        else:
            why = "the gateway ended before the update did"
            await self._end(run, "failed", why, verification=verified)

    # -- looking ---------------------------------------------------------------------------------

    async def look(self) -> Available | None:
        """Ask whether there is a newer version, and remember it.

        Raises:
            Unavailable: it cannot be asked for.
        """
        from portico.updates.installer import UpdateFailed

        if (refusal := await asyncio.to_thread(self._installer.refusal)) is not None:
            raise Unavailable(f"no updates here: {refusal}")
        try:
            planned = await self._installer.plan()
        except UpdateFailed as error:
            raise Unavailable(f"no newer version can be looked for: {error}") from None
        self._found(planned.version)
        return self.available

    def _found(self, version: str | None) -> None:
        before, self.available = self.available, None
        if version is not None and version != __version__:
            self.available = Available(
                current_version=__version__, latest_version=version, channel=self.settings.channel
            )
        if self.available != before:
            shown = None if self.available is None else msgspec.to_builtins(self.available)
            self._hub.publish("update.available", {"updateAvailable": shown})

    async def runs(self, limit: int) -> list[UpdateRun]:
        """Return the last updates, the newest first."""
        return (await asyncio.to_thread(self._runs.runs))[:limit]

    async def find(self, run_id: str) -> UpdateRun | None:
        """Return one update."""
        return await asyncio.to_thread(self._runs.find, run_id)

    # -- updating --------------------------------------------------------------------------------

    def begin(self, asked: Asked) -> asyncio.Task[UpdateRun]:
        """Start `run` so that it comes to an end whoever waits for it.

        Raises:
            InvalidRequest, Unavailable: as `run`, at once; a refusal is no failed task.
        """
        self._check_possible()
        return self._tasks.start(self.run(asked), name="update")

    async def run(self, asked: Asked) -> UpdateRun:
        """Install the newest version and ask for the restart; return how far that has come.

        Raises:
            InvalidRequest: updates are not allowed.
            Unavailable: one is on its way, or this process cannot be replaced.
        """
        self._check_possible()
        async with self._busy:
            return await self._run(asked)

    def _check_possible(self) -> None:
        if not self.settings.allow:
            raise InvalidRequest(
                "updates are not allowed here: set update.allow", details={"code": "UPDATES_OFF"}
            )
        if not self._restarts.supported:
            raise Unavailable("this process cannot be replaced; stop it, update, and start it")
        if self._busy.locked() or self._waiting is not None:
            raise Unavailable("an update is on its way", retry_after_ms=5_000)

    async def _run(self, asked: Asked) -> UpdateRun:
        from portico.updates.installer import UpdateFailed

        now = self._clock.now_ms()
        run = UpdateRun(
            run_id=new_uuid(),
            created_at_ms=now,
            updated_at_ms=now,
            trigger=asked.trigger,
            origin=asked.origin,
            before=Version(__version__),
        )
        run = await self._moved(run, "requested")
        try:
            run = await self._install(run)
        except UpdateFailed as error:
            latest = await self.find(run.run_id) or run
            return await self._end(latest, "failed", str(error))
        if run.status != "running":
            return run
        run = await self._moved(run, "restarting")
        self._waiting = run
        self._restarts.request(f"update to {run.target.version}", delay_s=asked.restart_delay_s)
        return run

    async def _install(self, run: UpdateRun) -> UpdateRun:
        installer = self._installer
        if (refusal := await asyncio.to_thread(installer.refusal)) is not None:
            return await self._end(run, "skipped", refusal)
        run = await self._moved(run, "staging")
        async with self._step(run, "look") as done:
            planned = await installer.plan()
        run = done()
        self._found(planned.version)
        if planned.version is None:
            return await self._end(run, "skipped", "already-current", after=run.before)
        target = Target("package", self.settings.channel, planned.version)
        run = await self._moved(run, "activating", target=target)
        async with self._step(run, "install") as done:
            await installer.install(planned)
        run = await self._moved(done(), "validating")
        try:
            async with self._step(run, "check") as done:
                await installer.check(planned.version)
        except Exception:
            await installer.put_back()
            raise
        return done()

    @asynccontextmanager
    async def _step(self, run: UpdateRun, name: str) -> AsyncIterator[Callable[[], UpdateRun]]:
        """Record one step; call what is yielded for the update with it."""
        began = self._clock.now_ms()
        step = Step(name, "in_progress", began)

        def done() -> UpdateRun:
            ended = msgspec.structs.replace(
                step, status="completed", ended_at_ms=self._clock.now_ms()
            )
            return msgspec.structs.replace(run, steps=(*run.steps, ended))

        try:
            yield done
        except Exception as error:
            failed = msgspec.structs.replace(
                step,
                status="failed",
                ended_at_ms=self._clock.now_ms(),
                detail=str(error)[:MAX_REASON],
            )
            await self._record(msgspec.structs.replace(run, steps=(*run.steps, failed)))
            raise

    # -- how it ends -----------------------------------------------------------------------------

    def _restart_failed(self, last: LastRestart) -> None:
        run, self._waiting = self._waiting, None
        if run is not None:
            self._tasks.start(self._roll_back(run, last.reason), name="update.roll-back")

    async def _roll_back(self, run: UpdateRun, why: str) -> None:
        from portico.updates.installer import UpdateFailed

        outcome: dict[str, Any] = {"status": "succeeded", "reason": why[:500]}
        try:
            await self._installer.put_back()
        except UpdateFailed as error:
            outcome = {"status": "failed", "reason": str(error)[:500]}
        verified = {"booted": False, "runningVersion": __version__, "rollbackOutcome": outcome}
        await self._end(run, "rolled-back", why, after=run.before, verification=verified)

    async def _end(
        self, run: UpdateRun, status: Status, reason: str | None, **more: Any
    ) -> UpdateRun:
        now = self._clock.now_ms()
        ended = msgspec.structs.replace(
            run,
            phase="finished",
            status=status,
            reason=None if reason is None else reason[:MAX_REASON],
            updated_at_ms=now,
            finished_at_ms=now,
            confirmed_at_ms=now if status == "succeeded" else None,
            **more,
        )
        log.info("update.ended", run_id=run.run_id, status=status, reason=reason)
        await self._record(ended)
        await self._notify(ended)
        return ended

    async def _notify(self, run: UpdateRun) -> None:
        key = run.origin.get("sessionKey")
        if not key:
            return
        text = f"Update to {run.target.version or 'a newer version'}: {run.status}."
        if run.reason:
            text += f" {run.reason}"
        if run.status == "succeeded" and (then := run.origin.get("nextAction")):
            text += f"\n\n{then}"
        try:
            async with asyncio.timeout(NOTICE_S):
                await self._tell(str(key), text)
        except Exception as error:  # noqa: BLE001 - it stands in the log of updates
            log.warning("update.notice_failed", session_key=key, error=repr(error))

    async def _moved(self, run: UpdateRun, phase: Phase, **more: Any) -> UpdateRun:
        moved = msgspec.structs.replace(
            run, phase=phase, updated_at_ms=self._clock.now_ms(), **more
        )
        await self._record(moved)
        return moved

    async def _record(self, run: UpdateRun) -> None:
        await asyncio.to_thread(self._runs.put, run)
        self._hub.publish(
            "update.run.changed",
            {
                "runId": run.run_id,
                "phase": run.phase,
                "status": run.status,
                "updatedAtMs": run.updated_at_ms,
            },
        )
