"""The canvas, constructed: where its pages are, who is told so, and the door they are served by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from portico.agents.service import Agents
from portico.canvas.capabilities import Capabilities
from portico.canvas.changes import Changes
from portico.canvas.documents import Documents
from portico.canvas.nodes import Screen
from portico.canvas.rpc import CanvasMethods
from portico.canvas.settings import CanvasSettings
from portico.canvas.surfaces import Surfaces
from portico.clock import Clock
from portico.net import bind
from portico.net.certificate import ServerCertificate
from portico.nodes.invoking import Order
from portico.nodes.service import Nodes
from portico.protocol.errors import InvalidRequest
from portico.tasks import Tasks
from portico.web.canvas import CanvasDoor
from portico.web.gate import Gate
from portico.web.second_port import SecondPort, SecondPortSettings
from portico.web.shell import Shell

if TYPE_CHECKING:
    from portico.canvas.tools import CanvasTools
    from portico.config.model import PorticoConfig

MB = 1_000_000


class CanvasParts:
    """Everything about the canvas that others are handed."""

    def __init__(
        self,
        config: PorticoConfig,
        *,
        agents: Agents,
        certificate: ServerCertificate,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        host = config.canvas_host
        self._config, self._clock, self._tasks = config, clock, tasks
        self._certificate = certificate
        self._settings = canvas_settings(config)
        self._capabilities = Capabilities(clock=clock)
        self._changes = Changes(tasks=tasks, settings=self._settings)
        self.surfaces = Surfaces(self._capabilities)
        self.documents = Documents(
            workspace_of=lambda agent_id: workspace_of(agents, agent_id),
            default_agent=lambda: agents.default_id,
            settings=self._settings,
        )
        self.methods = CanvasMethods(
            documents=self.documents,
            surfaces=self.surfaces,
            host_port=host.port if host.enabled else None,
        )

    def tools(self, nodes: Nodes) -> CanvasTools:
        """Return the tools of agents."""
        from portico.canvas.tools import CanvasTools

        return CanvasTools(
            documents=self.documents, surfaces=self.surfaces, screens=NodeScreens(nodes)
        )

    def close(self) -> None:
        """Let no page wait any longer."""
        self._changes.close()

    def door(self, gate: Gate, *, page_port: int | None = None) -> CanvasDoor:
        """Return the HTTP side.

        Args:
            page_port: the port of the page, when this is for another one.
        """
        return CanvasDoor(
            capabilities=self._capabilities,
            changes=self._changes,
            documents=self.documents,
            gate=gate,
            settings=self._settings,
            page_port=page_port,
        )

    def second_port(self, gate: Gate) -> SecondPort | None:
        """Return the canvas on a port of its own; `None`: it has none."""
        config = self._config
        host = config.canvas_host
        if not host.enabled:
            return None
        door = self.door(gate, page_port=config.gateway.port)
        return SecondPort(
            Shell(door, clock=self._clock),
            name="canvas.host",
            tasks=self._tasks,
            settings=SecondPortSettings(
                hosts=bind.choose(config).hosts,
                port=host.port,
                tls=self._certificate.open if self._certificate.is_on else None,
            ),
        )


class NodeScreens:
    """The room of nodes, as the canvas asks it."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    async def choose(self, named: str | None, command: str) -> Screen:
        """Return the node that is meant."""
        if named is not None:
            session = self._nodes.check(
                (await self._nodes.directory.resolve(named)).node_id, command
            )
            return Screen(session.node_id, session.conn_id)
        rules = self._nodes.settings().rules
        able = [one for one in self._nodes.connections.sessions() if command in one.usable(rules)]
        if len(able) != 1:
            raise InvalidRequest(
                "several connected nodes can do that: name one"
                if able
                else f"no connected node can do {command}; the web page shows the canvas, too"
            )
        return Screen(able[0].node_id, able[0].conn_id)

    async def invoke(
        self, screen: Screen, command: str, params: Mapping[str, Any], *, session_key: str
    ) -> Any:
        """Have a node do something and return what it answered."""
        order = Order(
            command=command, params=dict(params), subject="canvas", session_key=session_key
        )
        answer = await self._nodes.invoke(screen.node_id, order)
        if answer.payload is None and answer.payload_json:
            return msgspec.json.decode(answer.payload_json)
        return answer.payload


def canvas_settings(config: PorticoConfig) -> CanvasSettings:
    """Return how pages are served."""
    host = config.canvas_host
    return CanvasSettings(
        root=Path(host.root) if host.root else None,
        has_live_reload=host.live_reload,
        max_file_bytes=int(host.max_file_mb * MB),
        max_watched=host.max_watched,
        max_viewers=host.max_viewers,
    )


def workspace_of(agents: Agents, agent_id: str) -> Path | None:
    """Return an agent's workspace; `None`: there is no such agent, or it has none."""
    agent = agents.find(agent_id)
    return Path(agent.workspace) if agent is not None and agent.workspace else None
