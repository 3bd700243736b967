"""The services of this room, constructed and connected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from portico.agents.service import Agents
from portico.automation.cron.assembly import Cron, CronSettings, build_cron
from portico.automation.heartbeat.jobs import reconcile
from portico.automation.heartbeat.model import HeartbeatSettings
from portico.automation.heartbeat.rpc import HeartbeatMethods
from portico.automation.heartbeat.service import Heartbeats
from portico.automation.heartbeat.waking import Waker
from portico.automation.hooks.model import HookSettings
from portico.automation.hooks.retention import HookRetention
from portico.automation.hooks.service import Hooks
from portico.channels.registry import ChannelRegistry
from portico.clock import Clock
from portico.events.hub import Hub
from portico.inbox.service import Inbox
from portico.outbox.service import Outbox
from portico.rpc.dispatch import Idempotency
from portico.sessions.service import Sessions
from portico.store import Store
from portico.tasks import Tasks
from portico.turns.service import Turns


@dataclass(frozen=True, slots=True)
class AutomationSettings:
    """What is configured: of scheduled jobs, by agent of the heartbeats, and of hooks."""

    cron: CronSettings
    heartbeats: Mapping[str, HeartbeatSettings]
    hooks: HookSettings = field(default_factory=HookSettings)


class Automation:
    """Everything the gateway does by itself."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        tasks: Tasks,
        agents: Agents,
        senders: ChannelRegistry,
        sessions: Sessions,
        inbox: Inbox,
        turns: Turns,
        outbox: Outbox,
        once: Idempotency,
        boot_id: str,
        alone: bool,
        settings: AutomationSettings,
    ) -> None:
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._rules = settings.cron.rules
        self.heartbeats = Heartbeats(
            store=store,
            clock=clock,
            hub=hub,
            turns=turns,
            agents=agents,
            settings=settings.heartbeats,
        )
        self.cron: Cron = build_cron(
            store=store,
            clock=clock,
            hub=hub,
            tasks=tasks,
            agents=agents,
            senders=senders,
            sessions=sessions,
            inbox=inbox,
            turns=turns,
            outbox=outbox,
            heart=self.heartbeats,
            boot_id=boot_id,
            alone=alone,
            settings=settings.cron,
        )
        self.waker = Waker(
            store=store,
            clock=clock,
            inbox=inbox,
            senders=senders,
            sessions=sessions,
            heartbeats=self.heartbeats,
            cron=self.cron.service,
        )
        self.hooks = Hooks(
            store=store,
            clock=clock,
            agents=agents,
            inbox=inbox,
            senders=senders,
            turns=turns,
            waker=self.waker,
            main_key=sessions.main_key,
            once=once,
            settings=settings.hooks,
        )
        self.hook_retention = HookRetention(
            store=store,
            clock=clock,
            sessions=sessions,
            keep_ms=settings.hooks.keep_sessions_ms,
        )
        self.methods = (
            self.cron.methods,
            HeartbeatMethods(heartbeats=self.heartbeats, waker=self.waker, sessions=sessions),
        )
        self.tools = (self.cron.tools,)

    async def start(self) -> None:
        """Make the heartbeats what is configured, and begin to act on what is due."""
        await self._reconcile()
        await self.cron.scheduler.start()

    def keep_company(self, *, alone: bool) -> None:
        """Another process begins or ceases to act on the same jobs."""
        self.cron.scheduler.keep_company(alone=alone)

    def drain(self) -> None:
        """Begin nothing new."""
        self.cron.scheduler.drain()

    def configure(self, heartbeats: Mapping[str, HeartbeatSettings]) -> None:
        """Let hearts beat as another configuration says."""
        self.heartbeats.settings = heartbeats
        self._tasks.start(self._reconcile(), name="heartbeats.reconcile")

    def configure_hooks(self, settings: HookSettings) -> None:
        """Do what another configuration says when bodies are posted, and keep so much of it."""
        self.hooks.configure(settings)
        self.hook_retention.keep_ms = settings.keep_sessions_ms

    def configure_jobs(self, settings: CronSettings) -> None:
        """Run jobs as another configuration says."""
        self._rules = settings.rules
        self.cron.configure(settings)

    async def _reconcile(self) -> None:
        await self._store.write(
            reconcile, self.heartbeats.settings, rules=self._rules, now=self._clock.now_ms()
        )
        self.cron.scheduler.wake()
