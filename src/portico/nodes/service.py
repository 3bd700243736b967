"""Using nodes: what they may be asked to do, and having them do it.

Guarantees: a command is sent only to a connected node that was approved for it and while the
configuration lets it; every use of a program, a file, a camera or a screen is on record.

Not here: the wire (`rpc`, `rpc_node`), events of nodes (`incoming`), what becomes of a command that
was sent (`invoking`), who is connected (`connections`), approving (`pairing`).

Source: OpenClaw gateway protocol, "Nodes".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portico.audit.service import Audit
from portico.clock import Clock
from portico.ids import ConnId
from portico.nodes import policy
from portico.nodes import store as node_store
from portico.nodes.connections import NodeConnections, Publish
from portico.nodes.directory import NodeDirectory
from portico.nodes.invoking import Invokes, NodeAnswer, NodeFailed, Order
from portico.nodes.life import InvokeState
from portico.nodes.model import NodeDevices
from portico.nodes.pairing import NodePairing
from portico.nodes.session import Session
from portico.nodes.settings import NodeSettings
from portico.observe.metrics import Metrics
from portico.protocol.errors import InvalidRequest, Outcome
from portico.store import Store
from portico.tasks import Tasks


class Nodes:
    """The room of nodes.

    Args:
        tell: sends an event to one connection; says whether that could be done.
        close: ends a connection.
        devices: the devices nodes are.
        settings: returns what is configured now.
    """

    def __init__(
        self,
        *,
        audit: Audit,
        store: Store,
        clock: Clock,
        tasks: Tasks,
        publish: Publish,
        tell: Callable[[ConnId, str, Any], bool],
        close: Callable[[ConnId, str], None],
        devices: NodeDevices,
        settings: Callable[[], NodeSettings] = NodeSettings,
        metrics: Metrics | None = None,
    ) -> None:
        self._audit = audit
        self._store = store
        self.settings = settings
        self.invokes = Invokes(
            tell=tell,
            store=store,
            clock=clock,
            limits=lambda: settings().invoke,
            metrics=metrics or Metrics(),
        )
        self.connections = NodeConnections(
            store=store,
            clock=clock,
            tasks=tasks,
            publish=publish,
            tell=tell,
            close=close,
            devices=devices,
            invokes=self.invokes,
            settings=settings,
        )
        self.directory = NodeDirectory(store=store, connections=self.connections, settings=settings)
        self.pairing = NodePairing(
            audit=audit,
            store=store,
            clock=clock,
            publish=publish,
            tell=tell,
            devices=devices,
            connections=self.connections,
        )

    def check(self, node_id: str, command: str) -> Session:
        """Return the connection over which a command may be used now.

        Raises:
            NodeFailed: the node is not connected.
            InvalidRequest: the command may not be used; `details.reason` says why.
        """
        session = self.connections.session(node_id)
        if session is None:
            raise NodeFailed("NOT_CONNECTED", "node not connected", state=InvokeState.UNSENT)
        reasons = session.why_not(command, self.settings().rules)
        if reasons is not None:
            reason, said = reasons
            raise InvalidRequest(
                f"node command not allowed: {said}",
                details={"reason": reason, "command": command},
                outcome=Outcome.NOT_STARTED,
            )
        return session

    async def invoke(self, node_id: str, order: Order) -> NodeAnswer:
        """Have a node do something.

        Raises:
            NodeFailed: it could not be asked, did not answer, or could not do it.
            InvalidRequest: it may not be used for that.
        """
        session = self.check(node_id, order.command)
        if order.command == "system.run" and isinstance(order.params, dict):
            run_id = order.params.get("runId")
            if isinstance(run_id, str):
                session.asked_to_run(run_id)
        if order.command in policy.ON_RECORD:
            await self._audit.record(
                "node.invoked",
                actor=order.subject,
                target=node_id,
                details={"command": order.command, "key": order.key},
            )
        return await self.invokes.run(session, order)

    async def forget(self, *, before_ms: int) -> int:
        """Forget which commands were sent before a time; return how many."""
        return await self._store.write(node_store.forget_dispatches, before_ms=before_ms)
