"""The features: what is built on the message path, and what stands beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from portico.automation.assembly import Automation
from portico.chat.service import ChatService, ChatSettings
from portico.fetch import Fetcher
from portico.nodes.tool_source import PublishedTools
from portico.system.health import HealthService
from portico.wiring.automation import automation_settings
from portico.wiring.browser import BrowserParts
from portico.wiring.conversation import Conversation
from portico.wiring.devices import DeviceParts
from portico.wiring.ground import Ground
from portico.wiring.kernel import Kernel
from portico.wiring.nodes import NodeParts
from portico.wiring.path import MessagePath
from portico.wiring.push import build_push
from portico.wiring.settings import shown_store, web_fetch_settings
from portico.wiring.updates import build_updates

if TYPE_CHECKING:
    from portico.wiring.front import Front


class Features:
    """Every feature's services.

    Args:
        front: what is built last; asked for only once it is there.
    """

    def __init__(
        self,
        ground: Ground,
        kernel: Kernel,
        conversation: Conversation,
        path: MessagePath,
        *,
        front: Callable[[], Front],
    ) -> None:
        self._build_chat(ground, conversation, path)
        self._build_automation(ground, kernel, conversation, path)
        self._build_devices(ground, kernel, front)
        self.health = HealthService(
            store=ground.store,
            clock=ground.clock,
            hub=ground.hub,
            agents=conversation.agents,
            state_version=kernel.state_version,
            tasks=ground.tasks,
            interval_s=ground.config.gateway.limits.health_interval_ms / 1000,
            heartbeat_of=self.automation.heartbeats.shown,
            store_path=shown_store(ground.store_url),
            started_ms=ground.started_ms,
            channels=lambda: path.channels.health() | front().discovery.health(),
        )
        self._build_updates(ground, kernel, conversation)
        self._offer_tools(ground, conversation, path)

    def _build_chat(self, ground: Ground, conversation: Conversation, path: MessagePath) -> None:
        self.chat = ChatService(
            inbox=path.inbox,
            turns=path.turns,
            sessions=conversation.sessions,
            agents=conversation.agents,
            hub=ground.hub,
            clock=ground.clock,
            resets=path.resets,
            orders=path.orders,
            is_channel=conversation.senders.is_known,
            settings=ChatSettings(dm_scope=ground.config.session.dm_scope),
        )

    def _build_automation(
        self, ground: Ground, kernel: Kernel, conversation: Conversation, path: MessagePath
    ) -> None:
        self.automation = Automation(
            store=ground.store,
            clock=ground.clock,
            hub=ground.hub,
            tasks=ground.tasks,
            agents=conversation.agents,
            senders=conversation.senders,
            sessions=conversation.sessions,
            inbox=path.inbox,
            turns=path.turns,
            outbox=path.outbox,
            once=kernel.idempotency,
            boot_id=ground.boot_id,
            alone=ground.alone,
            settings=automation_settings(ground.config),
        )

    def _build_devices(self, ground: Ground, kernel: Kernel, front: Callable[[], Front]) -> None:
        self.node_parts = NodeParts(
            ground.live,
            audit=ground.audit,
            clock=ground.clock,
            close=lambda conn_id, why: front().plane.close_one(conn_id, code=1008, reason=why),
            devices=kernel.devices,
            hub=ground.hub,
            metrics=ground.metrics,
            store=ground.store,
            tasks=ground.tasks,
        )
        self.browser = BrowserParts(
            ground.loaded,
            audit=ground.audit,
            clock=ground.clock,
            env=ground.env,
            nodes=self.node_parts.nodes,
        )
        self.device_parts = DeviceParts(
            ground.live,
            devices=kernel.devices,
            authenticator=kernel.authenticator,
            audit=ground.audit,
            clock=ground.clock,
            store=ground.store,
            plane=lambda: front().plane,
            published=lambda: front().discovery.url,
            lock_file=ground.loaded.paths.lock_file,
            nodes=self.node_parts.nodes.pairing,
        )

    def _build_updates(self, ground: Ground, kernel: Kernel, conversation: Conversation) -> None:
        self.push = build_push(
            ground.loaded,
            clock=ground.clock,
            devices=kernel.devices,
            hub=ground.hub,
            senders=conversation.senders,
            store=ground.store,
            tasks=ground.tasks,
        )
        self.updates = build_updates(
            ground.live,
            env=ground.env,
            clock=ground.clock,
            hub=ground.hub,
            restarts=ground.restarts,
            sessions=conversation.sessions,
            tasks=ground.tasks,
            waker=self.automation.waker,
        )

    def _offer_tools(self, ground: Ground, conversation: Conversation, path: MessagePath) -> None:
        """Let agents use what is here."""
        self.web_fetcher = Fetcher(web_fetch_settings(ground.config))
        registry = conversation.toolbox.registry

        def built_in() -> list[object]:
            from portico.wiring.tools import built_in_tools

            return built_in_tools(ground, conversation, path, self)

        registry.add_later(built_in)
        for tools in self.automation.tools:
            registry.add(tools)
        registry.add_source(PublishedTools(self.node_parts.nodes))
