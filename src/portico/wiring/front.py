"""The front of the house: methods, the control plane, the web, and how others find them."""

from __future__ import annotations

from dataclasses import replace

from portico.fetch import Fetcher, FetchSettings
from portico.rpc.dispatch import Dispatcher
from portico.rpc.hello import HelloBuilder
from portico.web.control_plane import ControlPlane
from portico.web.http_wire import http_protocol
from portico.web.ws import websocket_protocol
from portico.wiring import recovery
from portico.wiring.conversation import Conversation
from portico.wiring.discovery import build_discovery
from portico.wiring.doors import DoorParts
from portico.wiring.features import Features
from portico.wiring.ground import Ground
from portico.wiring.hello import HelloSnapshot, hello_settings
from portico.wiring.kernel import Kernel
from portico.wiring.methods import build_methods
from portico.wiring.path import MessagePath
from portico.wiring.settings import socket_limits


class Front:
    """What the outside reaches."""

    def __init__(
        self,
        ground: Ground,
        kernel: Kernel,
        conversation: Conversation,
        path: MessagePath,
        features: Features,
    ) -> None:
        self.registry = build_methods(ground, kernel, conversation, path, features)
        if ground.loaded.is_recovery:
            self.registry.keep(recovery.METHODS)
            ground.readiness.add_check("config", recovery.reason(ground.loaded))
        self.dispatcher = Dispatcher(
            self.registry,
            kernel.idempotency,
            ground.clock,
            ground.metrics,
            recorder=ground.audit,
        )
        hello = self._build_hello(ground, kernel, conversation, features)
        self._build_plane(ground, kernel, features, hello)
        self._build_web(ground, kernel, conversation, path, features)
        self._build_discovery(ground, kernel)

    def _build_hello(
        self, ground: Ground, kernel: Kernel, conversation: Conversation, features: Features
    ) -> HelloBuilder:
        return HelloBuilder(
            self.registry,
            hello_settings(
                ground.loaded,
                boot_id=ground.boot_id,
                attachments=features.chat.settings.attachments,
                auth_mode=kernel.auth_settings.mode,
            ),
            presence=kernel.presence,
            state_version=kernel.state_version,
            snapshot=HelloSnapshot(
                health=features.health,
                agents=conversation.agents,
                live=ground.live,
                main_key=conversation.main_key,
            ),
            clock=ground.clock,
            surfaces=conversation.canvas.surfaces,
        )

    def _build_plane(
        self, ground: Ground, kernel: Kernel, features: Features, hello: HelloBuilder
    ) -> None:
        self.plane = plane = ControlPlane(
            dispatcher=self.dispatcher,
            authenticator=kernel.authenticator,
            hub=ground.hub,
            presence=kernel.presence,
            hello=hello,
            tasks=ground.tasks,
            clock=ground.clock,
            limits=socket_limits(ground.config),
            claimed=lambda path: self.web.claimed(path),  # noqa: PLW0108  # web is built after this
            nodes=features.node_parts.nodes.connections,
        )
        self.websocket = websocket_protocol(plane)
        self.http = http_protocol(lambda: plane.limits.handshake_timeout_ms / 1000)
        ground.metrics.gauge(
            "portico_connections", "Open WebSocket connections.", lambda: float(len(plane))
        )

    def _build_web(
        self,
        ground: Ground,
        kernel: Kernel,
        conversation: Conversation,
        path: MessagePath,
        features: Features,
    ) -> None:
        self.fetcher = Fetcher(FetchSettings())
        self.doors = DoorParts(
            ground.config,
            agents=conversation.agents,
            attached=path.attached.store,
            authenticator=kernel.authenticator,
            budgets=path.budgets,
            canvas=conversation.canvas,
            channel_doors=path.channels.doors,
            clock=ground.clock,
            dispatcher=self.dispatcher,
            fetcher=self.fetcher,
            hooks=features.automation.hooks,
            inbox=path.inbox,
            join_links=features.device_parts.links,
            message_door=lambda: path.message_door,
            metrics=ground.metrics,
            readiness=ground.readiness,
            senders=conversation.senders,
            store=ground.store,
            tasks=ground.tasks,
            toolbox=conversation.toolbox,
            turns=path.turns,
        )
        self.web = self.doors.web
        if ground.loaded.is_recovery:
            door = recovery.RecoveryDoor(self.web.asgi, gate=self.doors.gate, loaded=ground.loaded)
            self.web = replace(self.web, asgi=door)

    def _build_discovery(self, ground: Ground, kernel: Kernel) -> None:
        def entered(port: int) -> None:
            kernel.authenticator.tailscale_port = port

        self.discovery = build_discovery(
            ground.loaded,
            env=ground.env,
            tasks=ground.tasks,
            app=self.web.asgi,
            websocket=self.websocket,
            entered=entered,
        )
        ground.certificate.listen(self.discovery.changed)
