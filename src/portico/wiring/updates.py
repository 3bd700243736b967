"""Updates, from the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from portico.automation.heartbeat.waking import Waker
from portico.clock import Clock
from portico.config.live import LiveConfig
from portico.events.hub import Hub
from portico.sessions.service import Sessions
from portico.system.restarts import Restarts
from portico.tasks import Tasks
from portico.updates.log import UpdateLog
from portico.updates.service import Updates, UpdateSettings

if TYPE_CHECKING:
    from portico.config.sections.update import Update
    from portico.updates.installer import Installer


def update_settings(given: Update) -> UpdateSettings:
    """Return what is allowed."""
    return UpdateSettings(given.allow, given.check_on_start, given.channel)


def build_updates(
    live: LiveConfig,
    *,
    env: Mapping[str, str],
    clock: Clock,
    hub: Hub,
    restarts: Restarts,
    sessions: Sessions,
    tasks: Tasks,
    waker: Waker,
) -> Updates:
    """Return the updates; what installs is imported when it is first used."""
    paths = live.loaded.paths

    def installer() -> Installer:
        from portico.updates.installer import Installer

        given = live.loaded.require().update
        return Installer(
            wheels=None if given.wheels is None else Path(given.wheels),
            allow_unreleased=given.channel in ("beta", "dev"),
            timeout_s=given.timeout_ms / 1000,
            folder=paths.updates / "former",
            config=paths.config_file,
            state_dir=paths.state_dir,
            env=env,
        )

    return Updates(
        installer=installer,
        runs=UpdateLog(paths.updates / "runs.json"),
        restarts=restarts,
        hub=hub,
        clock=clock,
        tasks=tasks,
        tell=lambda key, text: waker.wake(sessions.key(key), text, "now"),
        settings=update_settings(live.loaded.require().update),
    )
