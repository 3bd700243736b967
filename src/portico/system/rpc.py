"""RPC methods about the gateway itself.

Source: OpenClaw gateway protocol, "Health, status, system" and "config.get".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from portico.agents.service import Agents
from portico.clock import Clock
from portico.events.presence import Presence, PresenceEntry
from portico.observe.redaction import Redactor
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.sessions.service import Sessions
from portico.store import Store
from portico.system import status
from portico.system.health import HealthService, HeartbeatOf, no_heartbeat, public
from portico.system.log_tail import read_tail, readable

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
PRESENCE_LINE = "Node:"
_PRESENCE_FIELDS = (
    "device_id", "instance_id", "host", "ip", "mode", "version", "platform", "device_family",
    "model_identifier", "last_input_seconds", "reason", "roles", "scopes", "tags", "text",
)  # fmt: skip


Wake = Callable[[str, str, Literal["now"]], Awaitable[object]]
"""Tells the agent of a session something."""


class Health(Params, frozen=True):
    """`{probe?}`."""

    probe: bool = False


class Status(Params, frozen=True, kw_only=True):
    """`{includeChannelSummary?}`."""

    include_channel_summary: bool = True


class SystemEvent(Params, frozen=True, kw_only=True):
    """`{text, …}`: something happened, or somebody says who it is."""

    text: NonEmpty
    device_id: str | None = None
    instance_id: str | None = None
    host: str | None = None
    ip: str | None = None
    mode: str | None = None
    version: str | None = None
    platform: str | None = None
    device_family: str | None = None
    model_identifier: str | None = None
    last_input_seconds: float | None = None
    reason: str | None = None
    roles: list[str] | None = None
    scopes: list[str] | None = None
    tags: list[str] | None = None
    session_key: NonEmpty | None = None
    wake: bool | None = None


class Ok(Result, frozen=True, omit_defaults=False):
    """Done."""

    ok: bool = True


class LogsTail(Params, frozen=True, kw_only=True):
    """`{cursor?, limit?, maxBytes?}`."""

    cursor: Annotated[int, msgspec.Meta(ge=0)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 500
    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 250_000


class LogLines(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Lines of the log file, and where to go on."""

    file: str
    cursor: int
    size: int
    lines: tuple[str, ...]
    truncated: bool
    reset: bool
    skipped_bytes: int


@dataclass(frozen=True, slots=True)
class SystemSettings:
    """What the gateway says of itself."""

    version: str
    log_file: Path
    drain_ms: int = 15_000
    store_path: str = ""


class SystemMethods:
    """`health`, `status` and the rest."""

    def __init__(
        self,
        *,
        health: HealthService,
        presence: Presence,
        sessions: Sessions,
        agents: Agents,
        store: Store,
        clock: Clock,
        config_snapshot: Callable[[], dict[str, Any]],
        settings: SystemSettings,
        heartbeat_of: HeartbeatOf = no_heartbeat,
        wake: Wake | None = None,
        redactor: Redactor | None = None,
        config_status: Callable[[], dict[str, Any]] | None = None,
        degraded_owners: Callable[[], list[dict[str, Any]]] = list,
    ) -> None:
        self._health = health
        self._presence = presence
        self._sessions = sessions
        self._agents = agents
        self._store = store
        self._clock = clock
        self._config_snapshot = config_snapshot
        self._settings = settings
        self._heartbeat_of = heartbeat_of
        self._wake = wake
        self._redactor = redactor or Redactor()
        self._config_status = config_status
        self._degraded_owners = degraded_owners

    @method("health", scope=None)
    async def health(self, call: Call, params: Health) -> dict[str, Any]:
        """Say how the gateway is; at most a minute old, unless `probe`."""
        summary = await self._health.summary(probe=params.probe)
        return summary if Scope.ADMIN in call.principal.scopes else public(summary)

    @method("status", scope=Scope.READ)
    async def status(self, call: Call, params: Status) -> dict[str, Any]:
        """Say what the gateway does."""
        runs, deliveries, counts, page = await self._store.scan(status.read_status)
        now = self._clock.now_ms()
        agents = self._agents.list()
        return {
            "runtimeVersion": self._settings.version,
            "uptimeMs": self._health.uptime_ms,
            "heartbeat": {
                "defaultAgentId": self._agents.default_id,
                "agents": [
                    {
                        "agentId": agent.agent_id,
                        **{name: beats[name] for name in ("enabled", "every", "everyMs")},
                        "waitingForRoute": False,
                    }
                    for agent in agents
                    for beats in (self._heartbeat_of(agent.agent_id),)
                ],
            },
            "channelSummary": [],
            "queuedSystemEvents": [],
            "degradedSecretOwners": self._degraded_owners(),
            "degradedPlugins": [],
            "tasks": status.tasks(runs),
            "taskAudit": status.task_audit(runs, deliveries),
            "deliveries": deliveries,
            "sessions": status.sessions(
                self._agents,
                counts,
                page,
                path=self._sessions.store_path,
                now=now,
                is_admin=Scope.ADMIN in call.principal.scopes,
            ),
            "shutdownBudget": {"drainMs": self._settings.drain_ms},
            **({} if self._config_status is None else {"config": self._config_status()}),
            **status.vitals(),
        }

    @method("system-presence", scope=Scope.READ)
    def presence(self, call: Call, params: Empty) -> list[PresenceEntry]:
        """List who is here: the gateway first, then the newest."""
        return self._presence.list()

    @method("system-event", scope=Scope.ADMIN)
    async def system_event(self, call: Call, params: SystemEvent) -> Ok:
        """Note an event in a session's transcript, or who somebody is in the presence list."""
        given = {name: getattr(params, name) for name in _PRESENCE_FIELDS}
        fields = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in given.items()
            if value is not None
        }
        if params.last_input_seconds is not None:
            fields["last_input_seconds"] = int(max(0, params.last_input_seconds))
        who = params.device_id or params.instance_id or params.host or params.ip
        if who is not None or params.text.startswith(PRESENCE_LINE):
            self._presence.update(who or params.text[:64], **fields)
        if not params.text.startswith(PRESENCE_LINE):
            main = self._sessions.main_session_key()
            key = self._sessions.key(params.session_key) if params.session_key else main
            meta = {"kind": "system-event", "reason": params.reason}
            if params.wake and self._wake is not None:  # the agent is told, and that is kept
                await self._wake(key, params.text, "now")
            else:
                await self._sessions.append(key, role="system", text=params.text, meta=meta)
        return Ok()

    @method("config.get", scope=Scope.READ)
    async def config_get(self, call: Call, params: Empty) -> dict[str, Any]:
        """Show the configuration with its hash; secrets are masked."""
        return await asyncio.to_thread(self._config_snapshot)

    @method("logs.tail", scope=Scope.READ)
    async def logs_tail(self, call: Call, params: LogsTail) -> LogLines:
        """Show the end of the log file, or what was added since a cursor; secrets are masked."""
        tail = await asyncio.to_thread(
            read_tail,
            self._settings.log_file,
            cursor=params.cursor,
            limit=params.limit,
            max_bytes=params.max_bytes,
        )
        return LogLines(
            file=str(self._settings.log_file),
            cursor=tail.cursor,
            size=tail.size,
            lines=tuple(readable(self._redactor.text(line)) for line in tail.lines),
            truncated=tail.is_truncated,
            reset=tail.is_reset,
            skipped_bytes=tail.skipped_bytes,
        )
