"""The services of scheduled jobs, constructed and connected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from portico.agents.service import Agents
from portico.automation.cron.definition import Definitions
from portico.automation.cron.ending import Ender
from portico.automation.cron.life import Rules
from portico.automation.cron.publish import CronEvents
from portico.automation.cron.retention import Retention
from portico.automation.cron.rpc import CronMethods, CronMethodSettings
from portico.automation.cron.scheduler import Heart, Scheduler
from portico.automation.cron.service import CronService
from portico.automation.cron.starting import Beats, Starter
from portico.automation.cron.tools import CronTools
from portico.automation.cron.views import Views
from portico.channels.registry import ChannelRegistry
from portico.clock import Clock
from portico.events.hub import Hub
from portico.inbox.service import Inbox
from portico.outbox.service import Outbox
from portico.sessions.service import Sessions
from portico.store import Store
from portico.tasks import Tasks
from portico.turns.service import Turns


@dataclass(frozen=True, slots=True)
class CronSettings:
    """What is configured of scheduled jobs.

    Attributes:
        is_enabled: whether jobs run by themselves.
        keep_runs: how many finished runs are kept per job.
        keep_sessions_ms: how long sessions of isolated runs are kept; `None`: for ever.
    """

    rules: Rules = field(default_factory=Rules)
    is_enabled: bool = True
    max_jobs: int = 1_000
    min_interval_ms: int = 1_000
    max_runs: int = 8
    keep_runs: int = 2_000
    keep_sessions_ms: int | None = 86_400_000


@dataclass(frozen=True, slots=True)
class Cron:
    """Scheduled jobs of one gateway."""

    service: CronService
    scheduler: Scheduler
    methods: CronMethods
    tools: CronTools
    retention: Retention
    starter: Starter
    ender: Ender
    definitions: Definitions

    def configure(self, settings: CronSettings) -> None:
        """Follow a changed configuration; runs that have begun go on."""
        rules, forever = settings.rules, settings.keep_sessions_ms is None
        self.starter.configure(rules, keeps_sessions=forever)
        self.ender.configure(rules)
        self.definitions.configure(zone=rules.zone, min_interval_ms=settings.min_interval_ms)
        self.service.configure(rules, max_jobs=settings.max_jobs)
        self.retention.configure(
            keep_runs=settings.keep_runs, keep_sessions_ms=settings.keep_sessions_ms
        )
        self.scheduler.configure(is_enabled=settings.is_enabled, max_runs=settings.max_runs)


class HeartPort(Beats, Heart, Protocol):
    """The heartbeats, as far as jobs and their scheduler need them."""


def build_cron(
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
    heart: HeartPort,
    boot_id: str,
    alone: bool,
    settings: CronSettings,
) -> Cron:
    """Construct everything scheduled jobs need; nothing is started."""
    rules, main_key = settings.rules, sessions.main_key
    views = Views(agents)
    events = CronEvents(hub, views)
    starter = Starter(
        store=store,
        clock=clock,
        inbox=inbox,
        outbox=outbox,
        agents=agents,
        senders=senders,
        beats=heart,
        main_key=main_key,
        rules=rules,
        keeps_sessions=settings.keep_sessions_ms is None,
    )
    ender = Ender(
        store=store, clock=clock, turns=turns, outbox=outbox, rules=rules, main_key=main_key
    )
    definitions = Definitions(
        agents=agents,
        senders=senders,
        main_key=main_key,
        zone=rules.zone,
        min_interval_ms=settings.min_interval_ms,
    )
    scheduler = Scheduler(
        store=store,
        clock=clock,
        starter=starter,
        ender=ender,
        heart=heart,
        turns=turns,
        events=events,
        tasks=tasks,
        alone=alone,
        is_enabled=settings.is_enabled,
        max_runs=settings.max_runs,
    )
    service = CronService(
        store=store,
        clock=clock,
        definitions=definitions,
        scheduler=scheduler,
        events=events,
        agent_of=starter.agent_of,
        default_agent=lambda: agents.default_id,
        rules=rules,
        max_jobs=settings.max_jobs,
    )
    shown = CronMethodSettings(
        boot_id=boot_id,
        store_path=sessions.store_path,
        is_sqlite=not sessions.store_path.startswith("postgresql:"),
    )
    return Cron(
        service,
        scheduler,
        CronMethods(cron=service, sessions=sessions, views=views, settings=shown),
        CronTools(cron=service, views=views),
        Retention(
            store=store,
            clock=clock,
            sessions=sessions,
            keep_runs=settings.keep_runs,
            keep_sessions_ms=settings.keep_sessions_ms,
        ),
        starter,
        ender,
        definitions,
    )
