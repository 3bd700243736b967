"""The health summary: made once a minute, sent as the `health` event, shown by `health`.

Guarantees: asking never costs more than a summary a minute, unless a probe is asked for; nobody
without the right sees paths or session keys in it.

Source: OpenClaw gateway protocol, "health" and `HealthSummary`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from portico.agents.service import Agents
from portico.clock import Clock
from portico.events.hub import Hub
from portico.events.presence import StateVersion
from portico.outbox import store as outbox_store
from portico.sessions import listing
from portico.sessions.listing import Filter, Page
from portico.store import Store, Work
from portico.tasks import Tasks

log = structlog.get_logger()

MAX_AGE_MS = 60_000
RECENT = 5
HIDDEN = "[redacted]"


HeartbeatOf = Callable[[str], dict[str, Any]]
"""From an agent's id to how it looks around."""


def no_heartbeat(_agent_id: str) -> dict[str, Any]:
    """Say that an agent does not look around."""
    return {
        "enabled": False,
        "every": "disabled",
        "everyMs": None,
        "prompt": "",
        "target": "none",
        "ackMaxChars": 0,
    }


class HealthService:
    """Makes, keeps and publishes the summary."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        agents: Agents,
        state_version: StateVersion,
        tasks: Tasks,
        interval_s: float = 60.0,
        heartbeat_of: HeartbeatOf = no_heartbeat,
        store_path: str = "",
        started_ms: int | None = None,
        channels: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """Make nothing yet.

        Args:
            channels: returns `channels`, `channelOrder` and `channelLabels` of the summary.
        """
        self._store = store
        self._clock = clock
        self._hub = hub
        self._agents = agents
        self._version = state_version
        self._tasks = tasks
        self._interval_s = interval_s
        self._heartbeat_of = heartbeat_of
        self._store_path = store_path
        self._channels = channels
        self._started_ms = clock.now_ms() if started_ms is None else started_ms
        self._summary: dict[str, Any] | None = None
        self._refreshing: asyncio.Task[dict[str, Any]] | None = None

    async def start(self) -> None:
        """Make the first summary and go on making them."""
        await self.fresh()
        self._tasks.start(self._keep_fresh(), name="health")

    @property
    def uptime_ms(self) -> int:
        """How long the gateway has been up."""
        return self._clock.now_ms() - self._started_ms

    @property
    def last(self) -> dict[str, Any]:
        """The last summary, as everybody may see it; empty before the first."""
        return {} if self._summary is None else public(self._summary)

    async def summary(self, *, probe: bool) -> dict[str, Any]:
        """Return the summary of the last minute, or a new one."""
        if self._summary is None or probe:
            return await self.fresh()
        if self._clock.now_ms() - int(self._summary["ts"]) > MAX_AGE_MS:
            self._refresh()
        return self._summary

    async def fresh(self) -> dict[str, Any]:
        """Make a new summary and publish it; those who ask meanwhile share it."""
        return await asyncio.shield(self._refresh())

    def _refresh(self) -> asyncio.Task[dict[str, Any]]:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = self._tasks.start(self._make(), name="health.refresh")
        return self._refreshing

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self.fresh()
            except Exception as error:  # the database may be away; the next minute tries again
                log.error("health.refresh_failed", exc_info=error)

    async def _make(self) -> dict[str, Any]:
        began = self._clock.monotonic_s()
        stuck, counts, page = await self._store.scan(_read)
        now = self._clock.now_ms()
        queues = [{"queueName": f"outbox:{n}", "count": c} for n, c in stuck.items()]
        self._summary = {
            "ok": True,
            "ts": now,
            "durationMs": int((self._clock.monotonic_s() - began) * 1000),
            "deliveryQueues": {"failed": queues},
            "channels": {},
            "channelOrder": [],
            "channelLabels": {},
            **self._channels(),
            "heartbeatSeconds": 0,
            "defaultAgentId": self._agents.default_id,
            "agents": [
                self._agent(agent.agent_id, agent.name, counts, page, now)
                for agent in self._agents.list()
            ],
            "sessions": self._sessions(sum(counts.values()), page, now),
        }
        version = self._version.bump_health()
        self._hub.publish("health", public(self._summary), state_version=version)
        return self._summary

    def _agent(
        self, agent_id: str, name: str | None, counts: dict[str, int], page: Page, now: int
    ) -> dict[str, Any]:
        own = Page(tuple(i for i in page.items if i.session.agent_id == agent_id), page.total)
        shown: dict[str, Any] = {
            "agentId": agent_id,
            "isDefault": agent_id == self._agents.default_id,
            "heartbeat": self._heartbeat_of(agent_id),
            "sessions": self._sessions(counts.get(agent_id, 0), own, now),
        }
        return {**shown, "name": name} if name else shown

    def _sessions(self, count: int, page: Page, now: int) -> dict[str, Any]:
        return {
            "path": self._store_path or HIDDEN,
            "count": count,
            "recent": [
                {
                    "key": item.session.key,
                    "updatedAt": item.session.updated_at,
                    "age": max(0, now - item.session.updated_at),
                }
                for item in page.items
            ],
        }


def _read() -> Work[tuple[dict[str, int], dict[str, int], Page]]:
    deliveries = yield from outbox_store.counts()
    counts = yield from listing.counts_by_agent()
    page = yield from listing.list_sessions(Filter(archived=None), limit=RECENT)
    return (
        {name: deliveries[name] for name in outbox_store.STUCK if deliveries.get(name)},
        counts,
        page,
    )


def public(summary: dict[str, Any]) -> dict[str, Any]:
    """Return a summary without what only administrators may see."""
    hidden = {"path": HIDDEN, "recent": []}
    return {
        **summary,
        "agents": [
            {**agent, "sessions": {**agent["sessions"], **hidden}} for agent in summary["agents"]
        ],
        "sessions": {**summary["sessions"], **hidden},
    }
