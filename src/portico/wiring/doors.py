"""The HTTP side, constructed: every endpoint of the port, and the gate before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from starlette.types import ASGIApp, Receive, Scope, Send

from portico import __version__
from portico.agents.service import Agents
from portico.agents.tools.toolbox import Toolbox
from portico.auth.service import Authenticator
from portico.automation.hooks.service import Hooks
from portico.budgets.service import Budgets
from portico.channels.doors import Doors
from portico.channels.registry import ChannelRegistry
from portico.clock import Clock
from portico.devices.join import JoinLinks
from portico.fetch import Fetcher
from portico.inbox.policy import DoorPolicy
from portico.inbox.service import Inbox
from portico.media.store.service import MediaStore
from portico.observe.metrics import Metrics
from portico.observe.readiness import Readiness
from portico.rpc.dispatch import Dispatcher
from portico.store import Store
from portico.tasks import Tasks
from portico.turns.service import Turns
from portico.web.app import Web, WebSettings, build_web
from portico.web.channels import ChannelDoors
from portico.web.endpoint import Endpoint
from portico.web.gate import Gate
from portico.web.hooks import HookDoor
from portico.web.join import JoinDoor
from portico.web.media import media_endpoint
from portico.web.messages.http import message_endpoints
from portico.web.messages.service import MessageService, MessageSettings
from portico.web.metrics import StoreGauges, metrics_endpoint
from portico.web.probes import probe_endpoints
from portico.web.tools import tools_endpoint
from portico.wiring.agents import http_tools
from portico.wiring.canvas import CanvasParts
from portico.wiring.hooks import hook_door_settings
from portico.wiring.settings import allowed_origins, openai_settings

if TYPE_CHECKING:
    from portico.config.live import Commit
    from portico.config.model import PorticoConfig
    from portico.web.mcp import McpDoor


class DoorParts:
    """Everything about the HTTP side, and what of it is started and closed with the gateway."""

    def __init__(
        self,
        config: PorticoConfig,
        *,
        agents: Agents,
        attached: MediaStore,
        authenticator: Authenticator,
        budgets: Budgets,
        canvas: CanvasParts,
        channel_doors: Doors,
        clock: Clock,
        dispatcher: Dispatcher,
        fetcher: Fetcher,
        hooks: Hooks,
        inbox: Inbox,
        join_links: JoinLinks,
        message_door: Callable[[], DoorPolicy],
        metrics: Metrics,
        readiness: Readiness,
        senders: ChannelRegistry,
        store: Store,
        tasks: Tasks,
        toolbox: Toolbox,
        turns: Turns,
    ) -> None:
        self._config = config
        self._agents = agents
        self._budgets = budgets
        self._clock = clock
        self._fetcher = fetcher
        self._inbox = inbox
        self._message_door = message_door
        self._readiness = readiness
        self._tasks = tasks
        self._toolbox = toolbox
        self._turns = turns
        self._metrics = metrics
        self.gate = gate = Gate(authenticator=authenticator, **_gate_rules(config))
        gauges = StoreGauges(store=store, clock=clock, metrics=metrics)
        self.mcp = self._mcp(config)
        self.canvas_host = canvas.second_port(gate)
        self.hook_door = hook_door = HookDoor(
            hooks,
            gate=gate,
            clock=clock,
            accepting=self._is_accepting,
            settings=hook_door_settings(config),
        )
        self._always: list[Endpoint] = [
            *probe_endpoints(readiness, gate=gate, clock=clock, version=__version__),
            metrics_endpoint(metrics, store_gauges=gauges),
            tools_endpoint(dispatcher),
            media_endpoint(attached),
        ]
        self._below: dict[str, ASGIApp] = {
            "/integrations/": ChannelDoors(channel_doors, gate=gate, is_channel=senders.is_known),
            **hook_door.below,
            **JoinDoor(join_links, gate=gate, clock=clock).below,
            **canvas.door(gate).below,
        }
        self.current = self._build(config, self.mcp)
        self.web = Web(_Switch(self), self._claimed, self.current.endpoints)

    async def start(self) -> None:
        """Begin what needs tasks or a port of its own."""
        if self.mcp is not None:
            await self.mcp.start(self._tasks)
        if self.canvas_host is not None:
            self.canvas_host.start()

    async def stop(self) -> None:
        """Close the port of its own."""
        if self.canvas_host is not None:
            await self.canvas_host.stop()

    def stage(self, config: PorticoConfig) -> Commit:
        """Return how to answer as another configuration says; what is being answered goes on."""
        before = self._config.gateway
        after = config.gateway
        is_same = before.http.endpoints.mcp == after.http.endpoints.mcp
        mcp = self.mcp if is_same and before.tools == after.tools else self._mcp(config)
        web = self._build(config, mcp)

        def commit() -> None:
            old, self.mcp = self.mcp, mcp
            if mcp is not old:
                if mcp is not None:
                    self._tasks.start(mcp.start(self._tasks), name="mcp.door.start")
                if old is not None:
                    old.stop()
            self._config = config
            self.current = web
            self.gate.configure(**_gate_rules(config))

        return commit

    def _claimed(self, path: str) -> bool:
        return self.current.claimed(path)

    def _build(self, config: PorticoConfig, mcp: McpDoor | None) -> Web:
        return build_web(
            endpoints=[
                *self._always,
                *self._messages(config),
                *self._openai(config),
                *(() if mcp is None else mcp.endpoints()),
            ],
            gate=self.gate,
            clock=self._clock,
            settings=_web_settings(config),
            metrics=self._metrics,
            below=self._below,
        )

    def _is_accepting(self) -> bool:
        return self._readiness.phase == "ready"

    def _messages(self, config: PorticoConfig) -> list[Endpoint]:
        given = config.gateway.messages
        messages = MessageService(
            inbox=self._inbox,
            turns=self._turns,
            agents=self._agents,
            clock=self._clock,
            fetcher=self._fetcher,
            policy=self._message_door,
            accepting=self._is_accepting,
            models=None,
            settings=MessageSettings(
                queue_timeout_ms=given.queue_timeout_ms,
                status_retention_ms=given.status_retention_ms,
                heartbeat_s=given.sse_heartbeat_ms / 1000,
                main_key=config.session.main_key,
            ),
        )
        most = config.gateway.http.max_body_bytes
        return message_endpoints(messages, tasks=self._tasks, max_body_bytes=most)

    def _openai(self, config: PorticoConfig) -> list[Endpoint]:
        settings = openai_settings(config)
        if settings is None:
            return []
        from portico.web.openai.http import openai_endpoints
        from portico.web.openai.service import OpenAIRuns, RunSettings

        messages = config.gateway.messages
        runs = OpenAIRuns(
            inbox=self._inbox,
            turns=self._turns,
            clock=self._clock,
            fetcher=self._fetcher,
            accepting=self._is_accepting,
            settings=RunSettings(
                queue_timeout_ms=messages.queue_timeout_ms,
                heartbeat_s=messages.sse_heartbeat_ms / 1000,
            ),
        )
        return openai_endpoints(
            runs,
            agents=self._agents,
            budgets=self._budgets,
            main_key=config.session.main_key,
            tasks=self._tasks,
            settings=settings,
        )

    def _mcp(self, config: PorticoConfig) -> McpDoor | None:
        settings = config.gateway.http.endpoints.mcp
        if not settings.enabled:
            return None
        from portico.web.mcp import McpDoor

        return McpDoor(
            toolbox=self._toolbox,
            agents=self._agents,
            main_key=config.session.main_key,
            rules=http_tools(config),
            max_body_bytes=settings.max_body_bytes,
        )


class _Switch:
    """The app of now, for a server that is given one for good."""

    def __init__(self, doors: DoorParts) -> None:
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._doors.current.asgi(scope, receive, send)


class _GateRules(TypedDict):
    allowed_origins: Sequence[str]
    open_to_this_machine: bool


def _gate_rules(config: PorticoConfig) -> _GateRules:
    gateway = config.gateway
    return {
        "allowed_origins": allowed_origins(config),
        "open_to_this_machine": gateway.http.open,
    }


def _web_settings(config: PorticoConfig) -> WebSettings:
    """Return how the port answers."""
    gateway = config.gateway
    page = gateway.control_ui
    return WebSettings(
        version=__version__,
        base_path=page.base_path,
        page_root=Path(page.root) if page.root else None,
        page_enabled=page.enabled,
        strict_transport_security=gateway.http.security_headers.strict_transport_security,
    )
