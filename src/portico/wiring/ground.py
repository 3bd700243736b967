"""The ground floor: what every other part stands on.

Guarantees: construction has no effects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import structlog

from portico import __version__
from portico.audit.service import Audit
from portico.clock import SystemClock
from portico.config.live import LiveConfig
from portico.events.hub import Hub
from portico.ids import new_id
from portico.observe.metrics import Metrics
from portico.observe.readiness import Readiness
from portico.settings.service import RequestRestart, Settings, restart_unavailable
from portico.store import open_store
from portico.system.restarts import Restarts
from portico.tasks import Tasks
from portico.wiring.settings import audit_retention, server_certificate

if TYPE_CHECKING:
    from portico.config import LoadedConfig

log = structlog.get_logger()


class Ground:
    """The configuration, the database, time and tasks, events, and who changed what.

    Args:
        env: what the configuration may refer to when it is read again.
        has_company: a predecessor still works on the same database.
        request_restart: asks for the process to be replaced soon; `None`: `restarts` is asked.

    Attributes:
        alone: no other process works on the same database.
    """

    def __init__(
        self,
        loaded: LoadedConfig,
        *,
        env: Mapping[str, str],
        has_company: bool = False,
        request_restart: RequestRestart | None = None,
    ) -> None:
        self.loaded = loaded
        self.config = loaded.require()
        self.env = env
        self.has_company = has_company
        self.live = LiveConfig(loaded, env=env)
        self.live.listen(self._config_changed)
        self.clock = SystemClock()
        self.boot_id = new_id("boot")
        self.started_ms = self.clock.now_ms()
        self.tasks = Tasks(_task_failed)
        self.metrics = Metrics(version=__version__)
        self.readiness = Readiness(clock=self.clock)
        self.certificate = server_certificate(loaded, self.clock)
        self.restarts = Restarts(self.clock)
        self._build_store()
        self._build_settings(request_restart or self._ask_for_restart)

    def _build_store(self) -> None:
        self.store_url = self.config.store.url or f"sqlite:///{self.loaded.paths.database}"
        self.is_own_database = self.store_url.startswith("sqlite:")
        self.alone = self.is_own_database and not self.has_company
        self.store = open_store(self.store_url, self.metrics)
        self.audit = Audit(self.store, clock=self.clock, retention=audit_retention(self.config))

    def _build_settings(self, request_restart: RequestRestart) -> None:
        limits = self.config.gateway.limits
        self.settings = Settings(
            self.live,
            audit=self.audit,
            clock=self.clock,
            tasks=self.tasks,
            request_restart=request_restart,
            started_ms=self.started_ms,
        )
        self.hub = Hub(
            epoch=self.boot_id,
            window=limits.replay_events,
            window_bytes=limits.replay_bytes,
            metrics=self.metrics,
        )
        # These are read when they are used.
        self.live.follow(
            "gateway.reload", "gateway.nodes", "secrets", stage=lambda _: _nothing_to_do
        )

    def config_snapshot(self) -> dict[str, Any]:
        """Return the configuration as it is on disk now, and what of it is in force."""
        from portico.config import load, snapshot

        now = load(self.loaded.paths, env=self.env, overrides=self.loaded.overrides)
        shown = snapshot(now, applied_hash=self.live.applied_hash)
        if now.valid:
            shown["warnings"] += self.settings.remarks()
        return shown

    def _ask_for_restart(self, reason: str) -> None:
        if self.restarts.supported:
            self.restarts.request(reason)
        else:
            restart_unavailable(reason)

    def _config_changed(self, loaded: LoadedConfig) -> None:
        path, now = str(loaded.paths.config_file), self.clock.now_ms()
        self.hub.publish("config.changed", {"path": path, "hash": loaded.hash, "ts": now})


def _nothing_to_do() -> None:
    return


def _task_failed(name: str, error: BaseException) -> None:
    log.error("task.failed", task=name, exc_info=error)
