"""The house: the one place that constructs every service and hands it what it needs.

Guarantees: construction has no effects; nothing here decides anything. How the house is opened and
closed is `portico.app`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from portico import __version__
from portico.agents.mcp.servers import McpServers
from portico.agents.skills.configured import build_skills
from portico.approvals.questions.service import Questions
from portico.approvals.service import Approvals
from portico.audit.service import Audit
from portico.auth.service import Authenticator
from portico.automation.assembly import Automation
from portico.channels.registry import ChannelRegistry
from portico.channels.webchat import WebchatChannel
from portico.chat.resetting import Resets
from portico.chat.service import ChatService, ChatSettings
from portico.clock import SystemClock
from portico.config.live import LiveConfig
from portico.config.secret_store import SecretStore
from portico.events.hub import Hub
from portico.events.presence import Presence, StateVersion
from portico.fetch import Fetcher, FetchSettings
from portico.ids import new_id
from portico.inbox.policy import OPEN_DOOR, DoorPolicy
from portico.inbox.routing import Router
from portico.inbox.service import Inbox
from portico.media.attached import build_attached
from portico.media.configured import build_media
from portico.nodes.tool_source import PublishedTools
from portico.observe.metrics import Metrics
from portico.observe.readiness import Readiness
from portico.outbox.service import Outbox
from portico.rpc.dispatch import Dispatcher
from portico.rpc.hello import HelloBuilder
from portico.rpc.idempotency import StoredIdempotency
from portico.sessions.changes import SessionChanges
from portico.sessions.service import Sessions
from portico.settings.service import RequestRestart, Settings, restart_unavailable
from portico.store import open_store
from portico.system.health import HealthService
from portico.system.restarts import Restarts
from portico.tasks import Tasks
from portico.turns.model import TurnLimits
from portico.turns.service import Turns
from portico.web.control_plane import ControlPlane
from portico.web.http_wire import http_protocol
from portico.web.ws import websocket_protocol
from portico.wiring import recovery
from portico.wiring.agents import acp_runtimes, build_agents, build_toolbox, mcp_servers
from portico.wiring.automation import automation_settings
from portico.wiring.browser import BrowserParts
from portico.wiring.budgets import build_budgets
from portico.wiring.canvas import CanvasParts
from portico.wiring.channels import ChannelParts, retry_policy
from portico.wiring.commands import build_orders, menu_of
from portico.wiring.devices import DeviceParts, build_device_book
from portico.wiring.discovery import build_discovery
from portico.wiring.doors import DoorParts
from portico.wiring.following import Parts, follow_settings
from portico.wiring.hello import HelloSnapshot, hello_settings
from portico.wiring.housekeeping import build_housekeeping
from portico.wiring.lanes import ConfiguredLanes
from portico.wiring.methods import build_methods
from portico.wiring.nodes import NodeParts
from portico.wiring.push import build_push
from portico.wiring.settings import (
    Vouching,
    approval_settings,
    audit_retention,
    auth_settings,
    exec_policy,
    message_api_policy,
    self_presence,
    server_certificate,
    shown_store,
    socket_limits,
    web_fetch_settings,
    whois,
)
from portico.wiring.updates import build_updates

if TYPE_CHECKING:
    from portico.config import LoadedConfig

log = structlog.get_logger()


class House:
    """Every service of one gateway, constructed and connected.

    Args:
        env: what the configuration may refer to when it is read again.
        has_company: a predecessor still works on the same database.
        request_restart: asks for the process to be replaced soon; `None`: `restarts` is asked.
    """

    def __init__(
        self,
        loaded: LoadedConfig,
        *,
        env: Mapping[str, str],
        has_company: bool = False,
        request_restart: RequestRestart | None = None,
    ) -> None:
        self.config = loaded.require()
        self._loaded = loaded
        self._env = env
        self.live = LiveConfig(loaded, env=env)
        self.live.listen(self._config_changed)
        self.clock = clock = SystemClock()
        self.boot_id = new_id("boot")
        self.started_ms = clock.now_ms()
        self._has_company = has_company
        self._request_restart = request_restart or self._ask_for_restart
        self.tasks = Tasks(_task_failed)
        self.metrics = Metrics(version=__version__)
        self.readiness = Readiness(clock=clock)
        self.certificate = server_certificate(loaded, clock)
        self.restarts = Restarts(clock)
        self._build_ground()
        self._build_kernel()
        self._build_conversation()
        self._build_control_plane()
        self._build_web()
        follow_settings(self.live, self._followers())

    def _build_ground(self) -> None:
        limits, paths = self.config.gateway.limits, self._loaded.paths
        self.store_url = self.config.store.url or f"sqlite:///{paths.database}"
        self.store = open_store(self.store_url, self.metrics)
        self.alone = self._is_own_database and not self._has_company
        self.audit = Audit(self.store, clock=self.clock, retention=audit_retention(self.config))
        self.settings = Settings(
            self.live,
            audit=self.audit,
            clock=self.clock,
            tasks=self.tasks,
            request_restart=self._request_restart,
            started_ms=self.started_ms,
        )
        # These are read when they are used.
        self.live.follow(
            "gateway.reload", "gateway.nodes", "secrets", stage=lambda _: _nothing_to_do
        )
        self.hub = Hub(
            epoch=self.boot_id,
            window=limits.replay_events,
            window_bytes=limits.replay_bytes,
            metrics=self.metrics,
        )

    def _build_kernel(self) -> None:
        self.auth_settings = auth_settings(self.config, self._loaded.paths)
        self.state_version = StateVersion()
        self.presence = Presence(
            hub_publish=self.hub.publish,
            clock=self.clock,
            state_version=self.state_version,
            self_entry=self_presence(self.boot_id, self.started_ms),
            later=lambda delay_s, call: asyncio.get_running_loop().call_later(delay_s, call),
        )
        self.devices = build_device_book(
            self.config,
            store=self.store,
            clock=self.clock,
            hub=self.hub,
            secret=self.auth_settings.secret,
        )
        self.authenticator = Authenticator(
            self.auth_settings,
            self.devices,
            self.clock,
            whois=whois(self.config, self._env, self.clock),
        )
        self.idempotency = StoredIdempotency(
            self.store, self.clock, ttl_ms=self.config.gateway.limits.dedupe_ttl_ms
        )

    def _build_conversation(self) -> None:
        config, store, clock = self.config, self.store, self.clock
        self.approvals = Approvals(
            store=store,
            clock=clock,
            hub=self.hub,
            policy=exec_policy(self._loaded, self._env, clock),
            tasks=self.tasks,
            owner=self.boot_id,
            alone=self.alone,
            settings=approval_settings(config),
        )
        self.questions = Questions(store=store, clock=clock, hub=self.hub, tasks=self.tasks)
        self.toolbox = build_toolbox(config)
        self.mcp_servers = McpServers(mcp_servers(config), tasks=self.tasks)
        self.toolbox.registry.add_source(self.mcp_servers)
        self.skills = build_skills(
            self.live,
            env=self._env,
            clock=clock,
            toolbox=self.toolbox,
            workspace_of=lambda agent_id: self.agents.get(agent_id).workspace,
            changed=lambda reason: self.hub.publish("skills.changed", {"reason": reason}),
        )
        self.agents = agents = build_agents(
            self.live,
            clock=clock,
            toolbox=self.toolbox,
            guidance=self.skills.instructions,
            env=self._env,
            tasks=self.tasks,
            acp=acp_runtimes(approvals=self.approvals, store=store, tasks=self.tasks, clock=clock),
        )
        self.canvas = CanvasParts(
            config, agents=agents, certificate=self.certificate, clock=clock, tasks=self.tasks
        )
        self.main_key = config.session.main_key
        self.changes = SessionChanges(
            store=store,
            hub=self.hub,
            clock=clock,
            agents=agents,
            tasks=self.tasks,
            main_key=self.main_key,
        )
        self.sessions = Sessions(
            store=store,
            clock=clock,
            changes=self.changes,
            agents=agents,
            main_key=self.main_key,
            store_path=shown_store(self.store_url),
        )
        self.senders = ChannelRegistry()
        self.senders.register(
            "webchat",
            "default",
            WebchatChannel(
                store=store,
                clock=clock,
                hub=self.hub,
                changes=self.changes,
                default_agent=lambda: agents.default_id,
                main_key=self.main_key,
            ),
        )
        self._build_path()

    def _build_path(self) -> None:
        config, store, clock = self.config, self.store, self.clock
        self.outbox = Outbox(
            store=store,
            clock=clock,
            senders=self.senders,
            tasks=self.tasks,
            owner=self.boot_id,
            alone=self.alone,
            policy=retry_policy(config),
            prepare=lambda m: self.media.outgoing.prepare(m),  # noqa: PLW0108  # it is built later
            metrics=self.metrics,
        )
        self.budgets = build_budgets(self.live, store=store, clock=clock, metrics=self.metrics)
        self.attached = build_attached(self.live, env=self._env, store=store, clock=clock)
        self.turns = Turns(
            store=store,
            clock=clock,
            hub=self.hub,
            runtimes=self.agents,
            outbox=self.outbox,
            changes=self.changes,
            tasks=self.tasks,
            owner=self.boot_id,
            alone=self.alone,
            limits=TurnLimits(
                max_concurrent=config.agents.defaults.max_concurrent,
                live_text_ms=config.gateway.limits.live_text_ms,
            ),
            budgets=self.budgets,
            files=self.attached.turns,
            metrics=self.metrics,
        )
        self._residents = dict.fromkeys(("webchat", "openai", "cron", "hook", "node"), OPEN_DOOR)
        self._open_message_door(message_api_policy(config))
        self.channels = ChannelParts(
            self.live,
            store=store,
            clock=clock,
            tasks=self.tasks,
            outbox=self.outbox,
            registry=self.senders,
            agents=self.agents,
            residents=self._residents.get,
            owner=self.boot_id,
            alone=self.alone,
        )
        self.vouching = Vouching(config.tools.trusted)
        self.lanes = ConfiguredLanes(self.turns, config.messages.queue)
        self.router = Router(
            agent_for=self.agents.route,
            dm_scope=config.session.dm_scope,
            main_key=self.main_key,
        )
        self.resets = Resets(sessions=self.sessions, turns=self.turns, once=self.idempotency)
        self.orders = build_orders(
            self.live,
            agents=self.agents,
            approvals=self.approvals,
            audit=self.audit,
            budgets=self.budgets,
            changes=self.changes,
            clock=clock,
            hub=self.hub,
            lanes=self.lanes,
            outbox=self.outbox,
            owner=self.boot_id,
            alone=self.alone,
            resets=self.resets,
            restarts=self.restarts,
            senders=self.senders,
            sessions=self.sessions,
            started_ms=self.started_ms,
            store=store,
            tasks=self.tasks,
            turns=self.turns,
        )
        self.inbox = Inbox(
            store=store,
            clock=clock,
            files=self.attached.store,
            lanes=self.lanes,
            orders=self.orders,
            policies=self.channels.rules.policy_of,
            vouched_for=self.vouching,
            route=self.router.route,
            metrics=self.metrics,
        )
        self.accounts = self.channels.build_accounts(
            self.inbox, self.turns, menu=lambda: menu_of(self.orders)
        )
        self.toolbox.narrow(self.channels.rules.tools_of)
        self.chat = ChatService(
            inbox=self.inbox,
            turns=self.turns,
            sessions=self.sessions,
            agents=self.agents,
            hub=self.hub,
            clock=clock,
            resets=self.resets,
            orders=self.orders,
            is_channel=self.senders.is_known,
            settings=ChatSettings(dm_scope=config.session.dm_scope),
        )
        self.media = build_media(
            self.live,
            env=self._env,
            clock=clock,
            registry=self.toolbox.registry,
            find_turn=self.turns.find,
        )
        self.web_fetcher = Fetcher(web_fetch_settings(config))
        self.toolbox.registry.add_later(self._built_in_tools)
        self._build_automation()

    def _open_message_door(self, policy: DoorPolicy) -> None:
        self.message_door = self._residents["http"] = policy

    def _built_in_tools(self) -> list[object]:
        from portico.wiring.tools import built_in_tools

        return built_in_tools(
            self.live,
            accounts=self.accounts,
            agents=self.agents,
            approvals=self.approvals,
            browser=self.browser.tools(),
            canvas=self.canvas.tools(self.node_parts.nodes),
            clock=self.clock,
            fetcher=self.web_fetcher,
            inbox=self.inbox,
            nodes=self.node_parts.nodes,
            outbox=self.outbox,
            questions=self.questions,
            senders=self.senders,
            sessions=self.sessions,
            skills=self.skills,
            store=self.store,
            turns=self.turns,
            files=self.attached.turns,
            env=self._env,
        )

    def _build_automation(self) -> None:
        self.automation = Automation(
            store=self.store,
            clock=self.clock,
            hub=self.hub,
            tasks=self.tasks,
            agents=self.agents,
            senders=self.senders,
            sessions=self.sessions,
            inbox=self.inbox,
            turns=self.turns,
            outbox=self.outbox,
            once=self.idempotency,
            boot_id=self.boot_id,
            alone=self.alone,
            settings=automation_settings(self.config),
        )
        for tools in self.automation.tools:
            self.toolbox.registry.add(tools)

    def _build_control_plane(self) -> None:
        self.health = HealthService(
            store=self.store,
            clock=self.clock,
            hub=self.hub,
            agents=self.agents,
            state_version=self.state_version,
            tasks=self.tasks,
            interval_s=self.config.gateway.limits.health_interval_ms / 1000,
            heartbeat_of=self.automation.heartbeats.shown,
            store_path=shown_store(self.store_url),
            started_ms=self.started_ms,
            channels=lambda: self.channels.health() | self.discovery.health(),
        )
        self.node_parts = NodeParts(
            self.live,
            audit=self.audit,
            clock=self.clock,
            close=lambda conn_id, why: self.plane.close_one(conn_id, code=1008, reason=why),
            devices=self.devices,
            hub=self.hub,
            metrics=self.metrics,
            store=self.store,
            tasks=self.tasks,
        )
        self.browser = BrowserParts(
            self._loaded,
            audit=self.audit,
            clock=self.clock,
            env=self._env,
            nodes=self.node_parts.nodes,
        )
        self.housekeeping = build_housekeeping(
            self.live,
            approvals=self.approvals,
            attached=self.attached.store,
            audit=self.audit,
            budgets=self.budgets,
            channels=self.channels,
            clock=self.clock,
            cron=self.automation.cron,
            hook_retention=self.automation.hook_retention,
            devices=self.devices,
            inbox=self.inbox,
            media_files=self.media.files,
            nodes=self.node_parts.nodes,
            orders=self.orders,
            outbox=self.outbox,
            questions=self.questions,
            store=self.store,
            tasks=self.tasks,
            turns=self.turns,
        )
        self.device_parts = DeviceParts(
            self.live,
            devices=self.devices,
            authenticator=self.authenticator,
            audit=self.audit,
            clock=self.clock,
            plane=lambda: self.plane,
            store=self.store,
            published=lambda: self.discovery.url,
            lock_file=self._loaded.paths.lock_file,
            nodes=self.node_parts.nodes.pairing,
        )
        self.toolbox.registry.add_source(PublishedTools(self.node_parts.nodes))
        self.updates = build_updates(
            self.live,
            env=self._env,
            clock=self.clock,
            hub=self.hub,
            restarts=self.restarts,
            sessions=self.sessions,
            tasks=self.tasks,
            waker=self.automation.waker,
        )
        self.registry = build_methods(
            self._loaded,
            agents=self.agents,
            approvals=self.approvals,
            audit=self.audit,
            automation=self.automation,
            boot_id=self.boot_id,
            budgets=self.budgets,
            browser=self.browser.methods,
            canvas=self.canvas.methods,
            channels=self.channels,
            chat=self.chat,
            clock=self.clock,
            config_snapshot=self._config_snapshot,
            devices=self.device_parts,
            env=self._env,
            health=self.health,
            hub=self.hub,
            inbox=self.inbox,
            live=self.live,
            mcp_servers=self.mcp_servers,
            nodes=self.node_parts,
            orders=self.orders,
            outbox=self.outbox,
            presence=self.presence,
            push=build_push(
                self._loaded,
                clock=self.clock,
                devices=self.devices,
                hub=self.hub,
                senders=self.senders,
                store=self.store,
                tasks=self.tasks,
            ),
            restarts=self.restarts,
            questions=self.questions,
            senders=self.senders,
            sessions=self.sessions,
            secret_store=SecretStore(self._loaded.paths.state_dir, env=self._env),
            settings=self.settings,
            skills=self.skills,
            speech=self.media.speech,
            started_ms=self.started_ms,
            store=self.store,
            toolbox=self.toolbox,
            turns=self.turns,
            updates=self.updates,
        )
        if self._loaded.is_recovery:
            self.registry.keep(recovery.METHODS)
            self.readiness.add_check("config", self._is_broken)
        self.dispatcher = Dispatcher(
            self.registry, self.idempotency, self.clock, self.metrics, recorder=self.audit
        )
        self.plane = ControlPlane(
            dispatcher=self.dispatcher,
            authenticator=self.authenticator,
            hub=self.hub,
            presence=self.presence,
            hello=self._build_hello(),
            tasks=self.tasks,
            clock=self.clock,
            limits=socket_limits(self.config),
            claimed=lambda path: self.web.claimed(path),  # noqa: PLW0108  # web is built after this
            nodes=self.node_parts.nodes.connections,
        )
        self.websocket = websocket_protocol(self.plane)
        self.http = http_protocol(lambda: self.plane.limits.handshake_timeout_ms / 1000)
        self.metrics.gauge(
            "portico_connections", "Open WebSocket connections.", lambda: float(len(self.plane))
        )
        self.metrics.gauge(
            "portico_turns_running", "Turns running here.", lambda: float(self.turns.running)
        )

    def _build_hello(self) -> HelloBuilder:
        return HelloBuilder(
            self.registry,
            hello_settings(
                self._loaded,
                boot_id=self.boot_id,
                attachments=self.chat.settings.attachments,
                auth_mode=self.auth_settings.mode,
            ),
            presence=self.presence,
            state_version=self.state_version,
            snapshot=HelloSnapshot(
                health=self.health, agents=self.agents, live=self.live, main_key=self.main_key
            ),
            clock=self.clock,
            surfaces=self.canvas.surfaces,
        )

    def _build_web(self) -> None:
        self.fetcher = Fetcher(FetchSettings())
        self.doors = DoorParts(
            self.config,
            agents=self.agents,
            attached=self.attached.store,
            authenticator=self.authenticator,
            budgets=self.budgets,
            canvas=self.canvas,
            channel_doors=self.channels.doors,
            clock=self.clock,
            dispatcher=self.dispatcher,
            fetcher=self.fetcher,
            hooks=self.automation.hooks,
            inbox=self.inbox,
            join_links=self.device_parts.links,
            message_door=lambda: self.message_door,
            metrics=self.metrics,
            readiness=self.readiness,
            senders=self.senders,
            store=self.store,
            tasks=self.tasks,
            toolbox=self.toolbox,
            turns=self.turns,
        )
        self.web = self.doors.web
        if self._loaded.is_recovery:
            door = recovery.RecoveryDoor(self.web.asgi, gate=self.doors.gate, loaded=self._loaded)
            self.web = replace(self.web, asgi=door)
        self.discovery = build_discovery(
            self._loaded,
            env=self._env,
            tasks=self.tasks,
            app=self.web.asgi,
            websocket=self.websocket,
            entered=self._tailscale_entered,
        )
        self.certificate.listen(self.discovery.changed)

    def _followers(self) -> Parts:
        return Parts(
            approvals=self.approvals,
            audit=self.audit,
            authenticator=self.authenticator,
            automation=self.automation,
            chat=self.chat,
            devices=self.devices,
            doors=self.doors,
            lanes=self.lanes,
            mcp_servers=self.mcp_servers,
            message_door=self._open_message_door,
            orders=self.orders,
            outbox=self.outbox,
            plane=self.plane,
            router=self.router,
            toolbox=self.toolbox,
            turns=self.turns,
            updates=self.updates,
            vouching=self.vouching,
            web_fetcher=self.web_fetcher,
        )

    def _config_snapshot(self) -> dict[str, Any]:
        from portico.config import load, snapshot

        now = load(self._loaded.paths, env=self._env, overrides=self._loaded.overrides)
        shown = snapshot(now, applied_hash=self.applied_hash)
        if now.valid:
            shown["warnings"] += self.settings.remarks()
        return shown

    @property
    def applied_hash(self) -> str:
        """The revision of the configuration this gateway runs with."""
        return self.live.applied_hash

    @property
    def _is_own_database(self) -> bool:
        return self.store_url.startswith("sqlite:")

    def _tailscale_entered(self, port: int) -> None:
        self.authenticator.tailscale_port = port

    def _ask_for_restart(self, reason: str) -> None:
        if self.restarts.supported:
            self.restarts.request(reason)
        else:
            restart_unavailable(reason)

    def _config_changed(self, loaded: LoadedConfig) -> None:
        path, now = str(loaded.paths.config_file), self.clock.now_ms()
        self.hub.publish("config.changed", {"path": path, "hash": loaded.hash, "ts": now})

    async def _is_broken(self) -> str | None:
        first = self._loaded.issues[0]
        return f"recovery mode: {first.path}: {first.message}"


def _nothing_to_do() -> None:
    return


def _task_failed(name: str, error: BaseException) -> None:
    log.error("task.failed", task=name, exc_info=error)
