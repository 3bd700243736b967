"""The nodes: who is connected, who was approved for what, and using them.

Guarantees:
    - A node that was not approved is used for nothing; one that offers more than it was approved
      for is used for what it was approved for.
    - A node that connects again takes the place of its old connection; nothing of that one, no
      result and no event, counts any more.
    - What a request asks for and what is approved are one committed row before anybody is told.

Not here: devices and their tokens (`auth`), the wire (`rpc`, `rpc_node`), events of nodes
(`incoming`).

Source: OpenClaw gateway protocol, "Nodes", "Node approval".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import msgspec
import structlog

from portico.audit.service import Audit
from portico.auth.model import Principal
from portico.clock import Clock
from portico.ids import ConnId, new_uuid
from portico.nodes import approval, policy, shapes
from portico.nodes import store as node_store
from portico.nodes.invoking import InvokeLimits, Invokes, NodeAnswer, NodeFailed, Order
from portico.nodes.life import InvokeState
from portico.nodes.model import NOBODY, NodeRow, about_of, declared_of
from portico.nodes.policy import CommandRules
from portico.nodes.session import Session
from portico.protocol.connect import ConnectParams
from portico.protocol.errors import Forbidden, InvalidRequest, Outcome
from portico.protocol.scopes import Role
from portico.store import Store
from portico.tasks import Tasks

log = structlog.get_logger()

Publish = Callable[[str, Any], None]
Greeting = Callable[[], Awaitable[list[tuple[str, Any]]]]
"""Returns events for a node that has connected."""
SETUP_CODE = "setup-code"


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """How nodes are used.

    Attributes:
        publishes_tools: agents may use the tools that nodes publish.
    """

    rules: CommandRules = field(default_factory=CommandRules)
    invoke: InvokeLimits = field(default_factory=InvokeLimits)
    publishes_tools: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """A node that was let in and is about to be told so."""

    session: Session


class NodeDevices(Protocol):
    """The devices, as far as nodes need them."""

    async def came_by_code(self, device_id: str) -> bool:
        """Whether a device was let in by a setup code."""
        ...

    async def forget(self, device_id: str, by: Principal) -> bool:
        """Take the role of a node from a device; `False`: it did not have it."""
        ...

    async def rename(self, device_id: str, name: str, by: Principal) -> None:
        """Call a device something else, too."""
        ...

    async def has_token(self, device_id: str, token: str) -> bool:
        """Whether a token is the one with which a device may be a node."""
        ...


class Nodes:
    """Every node this gateway knows.

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
    ) -> None:
        self._audit = audit
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._publish = publish
        self._tell = tell
        self._close = close
        self._devices = devices
        self.settings = settings
        self._sessions: dict[str, Session] = {}
        self.invokes = Invokes(
            tell=tell, store=store, clock=clock, limits=lambda: settings().invoke
        )
        self._greetings: list[Greeting] = []

    # -- connections -----------------------------------------------------------------------------

    async def expect(
        self, conn_id: ConnId, params: ConnectParams, principal: Principal
    ) -> Arrival | None:
        """Take note of a node that was let in, before it is told so; `None`: it is none."""
        node_id = principal.device_id
        if principal.role != Role.NODE or node_id is None:
            return None
        now = self._clock.now_ms()
        about = about_of(params, remote_ip=principal.ip)
        declared = policy.may_ask_for(about, declared_of(params), self.settings().rules)
        is_new = await self._store.read(node_store.find, node_id) is None
        decide = partial(
            approval.arrived,
            node_id=node_id,
            about=about,
            declared=declared,
            request_id=new_uuid(),
            now=now,
            silent=principal.local,
            is_preapproved=is_new and await self._devices.came_by_code(node_id),
        )
        before, row = await self._store.write(node_store.change, node_id, decide)
        assert row is not None  # noqa: S101 - it was just written
        self._announce_request(before, row)
        session = Session(
            conn_id=conn_id,
            row=row,
            declared=declared,
            connected_at=now,
            is_local=principal.local,
            path_env=params.path_env,
            computer_use=params.computer_use,
        )
        return Arrival(session)

    def _announce_request(self, before: NodeRow | None, row: NodeRow) -> None:
        asked = row.asked
        if asked is None or (before and before.asked and before.asked.surface == asked.surface):
            return
        log.info("node.asks", node_id=row.node_id, commands=asked.surface.commands)
        self._publish("node.pair.requested", shapes.pending(row, asked))

    def connected(self, arrival: Arrival) -> None:
        """Begin to use a node's connection, in place of the one it had."""
        session = arrival.session
        old = self._sessions.get(session.node_id)
        self._sessions[session.node_id] = session
        if old is not None:
            self.invokes.gone(old.conn_id)
            self._left(old)
            self._close(old.conn_id, "replaced by another connection of the same node")
        log.info("node.connected", node_id=session.node_id, state=session.row.state)
        if self._greetings:
            self._tasks.start(self._greet(session.conn_id), name="nodes.greet")

    def greet_with(self, greeting: Greeting) -> None:
        """Tell every node these events when it has connected."""
        self._greetings.append(greeting)

    async def _greet(self, conn_id: ConnId) -> None:
        for greeting in self._greetings:
            for name, payload in await greeting():
                self._tell(conn_id, name, payload)

    def gone(self, conn_id: ConnId) -> None:
        """A connection has ended, a node's or anybody's who waits for one."""
        self.invokes.gone(conn_id)
        session = next((one for one in self._sessions.values() if one.conn_id == conn_id), None)
        if session is None:
            return
        del self._sessions[session.node_id]
        self._left(session)
        now = self._clock.now_ms()
        left = self._store.write(node_store.left, session.node_id, session.host_stats, now=now)
        self._tasks.start(left, name="nodes.left")
        log.info("node.disconnected", node_id=session.node_id)

    def _left(self, session: Session) -> None:
        if session.last_active_at is not None:
            self._publish(
                "node.presence",
                {"nodeId": session.node_id, "lastActiveAtMs": None, "presenceUpdatedAtMs": None},
            )

    def session(self, node_id: str) -> Session | None:
        """Return a node's connection, or `None`."""
        return self._sessions.get(node_id)

    def sessions(self) -> list[Session]:
        """Return every connected node."""
        return list(self._sessions.values())

    def session_over(self, conn_id: ConnId | None) -> Session | None:
        """Return the node behind a connection, while it is the node's current one."""
        return next((one for one in self._sessions.values() if one.conn_id == conn_id), None)

    @property
    def active_id(self) -> str | None:
        """The connected node somebody used last."""
        used = [one for one in self._sessions.values() if one.last_active_at is not None]
        return max(used, key=lambda one: one.last_active_at or 0).node_id if used else None

    # -- looking ---------------------------------------------------------------------------------

    async def entries(self) -> list[dict[str, Any]]:
        """Return every node as the wire shows it: those that are connected first, by name."""
        rows = await self._store.read(node_store.list_all)
        shown = [self._shown(row) for row in rows]
        return sorted(
            shown,
            key=lambda one: (
                not one["connected"],
                one.get("displayName", one["nodeId"]).casefold(),
                one["nodeId"],
            ),
        )

    async def describe(self, node_id: str) -> dict[str, Any]:
        """Return one node as the wire shows it.

        Raises:
            InvalidRequest: there is no such node.
        """
        return self._shown(await self.find(node_id))

    async def find(self, node_id: str) -> NodeRow:
        """Return a node's row.

        Raises:
            InvalidRequest: there is no such node.
        """
        row = await self._store.read(node_store.find, node_id)
        if row is None:
            raise InvalidRequest("unknown nodeId", outcome=Outcome.NOT_STARTED)
        return row

    async def resolve(self, named: str) -> NodeRow:
        """Return the node of an id, the beginning of one, a name or an address.

        Raises:
            InvalidRequest: none is called so, or several are.
        """
        rows = await self._store.read(node_store.list_all)
        wanted = named.strip()
        exact = [row for row in rows if row.node_id == wanted]
        same = [row for row in rows if row.shown_name.casefold() == wanted.casefold()]
        same += [row for row in rows if row.about.remote_ip == wanted]
        begun = [row for row in rows if len(wanted) >= 6 and row.node_id.startswith(wanted)]
        found = exact or same or begun
        if len(found) != 1:
            said = "several nodes are called" if found else "no node is called"
            raise InvalidRequest(f"{said} {wanted!r}", outcome=Outcome.NOT_STARTED)
        return found[0]

    def _shown(self, row: NodeRow) -> dict[str, Any]:
        session = self._sessions.get(row.node_id)
        return shapes.node(
            row, session, rules=self.settings().rules, is_active=row.node_id == self.active_id
        )

    async def pairing(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the requests that wait, and the nodes that were approved; the newest first."""
        rows = await self._store.read(node_store.list_all)
        pending = [
            (row.asked.asked_at, shapes.pending(row, row.asked)) for row in rows if row.asked
        ]
        paired = [(row.approved_at or 0, shapes.paired(row)) for row in rows if row.approved]
        return _newest_first(pending), _newest_first(paired)

    async def verified(self, node_id: str, token: str) -> NodeRow | None:
        """Return an approved node whose token this is; `None`: it is not."""
        row = await self._store.read(node_store.find, node_id)
        if row is None or row.approved is None:
            return None
        return row if await self._devices.has_token(node_id, token) else None

    # -- approving -------------------------------------------------------------------------------

    async def approve(self, request_id: str, by: Principal) -> NodeRow:
        """Let a node be used for what it asks.

        Raises:
            InvalidRequest: there is no such request (any more).
            Forbidden: these commands need more than the approver holds.
        """
        asking = await self._find_request(request_id)
        assert asking.asked is not None  # noqa: S101 - it was found by it
        surface = asking.asked.surface
        for scope in approval.scopes_to_approve(surface.commands):
            if scope not in by.scopes:
                raise Forbidden.missing_scope(scope)
        row = await self._approve(asking.node_id, request_id, by=by.subject)
        commands = {"requestId": request_id, "commands": surface.commands}
        await self._audit.record(
            "node.approved", actor=by.subject, target=row.node_id, details=commands
        )
        return row

    async def _approve(self, node_id: str, request_id: str, *, by: str) -> NodeRow:
        now = self._clock.now_ms()

        def decide(row: NodeRow | None) -> NodeRow | None:
            if row is None or row.asked is None or row.asked.request_id != request_id:
                return None
            return approval.approved(row, row.asked.surface, by=by, now=now)

        _, row = await self._store.write(node_store.change, node_id, decide)
        if row is None:
            raise unknown_request()
        session = self._remember(row)
        resolved = self._resolved(request_id, node_id, "approved")
        if session is not None:
            self._tell(session.conn_id, "node.pair.resolved", resolved)
        return row

    async def reject(self, request_id: str, by: Principal) -> NodeRow:
        """Refuse what a node asks; return its row as it was. It may ask again.

        Raises:
            InvalidRequest: there is no such request (any more).
        """
        asking = await self._find_request(request_id)

        def decide(row: NodeRow | None) -> NodeRow | None:
            if row is None or row.asked is None or row.asked.request_id != request_id:
                return None
            return msgspec.structs.replace(row, asked=None)

        before, row = await self._store.write(node_store.change, asking.node_id, decide)
        if row is None or before is None:
            raise unknown_request()
        self._remember(row)
        self._resolved(request_id, row.node_id, "rejected")
        asked = {"requestId": request_id}
        await self._audit.record(
            "node.rejected", actor=by.subject, target=row.node_id, details=asked
        )
        return before

    async def _find_request(self, request_id: str) -> NodeRow:
        found = await self._store.read(node_store.find_request, request_id)
        if found is None:
            raise unknown_request()
        return found

    async def remove(self, node_id: str, by: Principal) -> None:
        """Forget a node, its approval and its device's right to be one; it is disconnected.

        Raises:
            InvalidRequest: there is no such node.
        """
        is_device = await self._devices.forget(node_id, by)
        if not await self._forget(node_id) and not is_device:
            raise InvalidRequest("unknown nodeId", outcome=Outcome.NOT_STARTED)
        await self._audit.record("node.removed", actor=by.subject, target=node_id)

    async def rename(self, node_id: str, name: str, by: Principal) -> NodeRow:
        """Call a node something else.

        Raises:
            InvalidRequest: there is no such node.
        """
        row = await self._rename(node_id, name)
        await self._devices.rename(node_id, name, by)
        if row is None:
            raise InvalidRequest("unknown nodeId", outcome=Outcome.NOT_STARTED)
        called = {"name": name}
        await self._audit.record("node.renamed", actor=by.subject, target=node_id, details=called)
        return row

    def _remember(self, row: NodeRow) -> Session | None:
        session = self._sessions.get(row.node_id)
        if session is not None:
            session.row = row
        return session

    def _resolved(self, request_id: str, node_id: str, decision: str) -> dict[str, Any]:
        resolved = {
            "requestId": request_id,
            "nodeId": node_id,
            "decision": decision,
            "ts": self._clock.now_ms(),
        }
        log.info("node.resolved", node_id=node_id, decision=decision)
        self._publish("node.pair.resolved", resolved)
        return resolved

    # -- what the devices tell (`devices.model.NodeBook`) ------------------------------------------

    async def device_approved(self, device_id: str, *, via: str) -> None:
        """A device may be a node; a setup code approves what it will offer, too."""
        if via != "bootstrap":
            return
        now = self._clock.now_ms()

        def decide(row: NodeRow | None) -> NodeRow:
            known = row or NodeRow(node_id=device_id, about=NOBODY, created_at=now)
            if known.asked is not None:
                return approval.approved(known, known.asked.surface, by=SETUP_CODE, now=now)
            return msgspec.structs.replace(known, is_preapproved=True)

        before, row = await self._store.write(node_store.change, device_id, decide)
        if row is not None:
            self._remember(row)
        if before is not None and before.asked is not None:
            self._resolved(before.asked.request_id, device_id, "approved")

    async def device_removed(self, device_id: str) -> None:
        """A device is forgotten, and with it its node."""
        await self._forget(device_id)

    async def device_revoked(self, device_id: str) -> None:
        """A device may not be a node any more: what it was approved for is void."""
        await self._forget(device_id)

    async def device_renamed(self, device_id: str, label: str) -> None:
        """A device is called something else."""
        await self._rename(device_id, label)

    async def _forget(self, device_id: str) -> bool:
        row = await self._store.read(node_store.find, device_id)
        was_known = await self._store.write(node_store.remove, device_id)
        if was_known:
            request_id = row.asked.request_id if row is not None and row.asked else ""
            self._resolved(request_id, device_id, "removed")
        session = self._sessions.get(device_id)
        if session is not None:
            session.row = msgspec.structs.replace(session.row, approved=None, asked=None)
            self._close(session.conn_id, "node removed")
        return was_known

    async def _rename(self, node_id: str, name: str) -> NodeRow | None:
        def decide(row: NodeRow | None) -> NodeRow | None:
            return None if row is None else msgspec.structs.replace(row, name=name)

        _, row = await self._store.write(node_store.change, node_id, decide)
        if row is not None:
            self._remember(row)
        return row

    # -- using -----------------------------------------------------------------------------------

    def check(self, node_id: str, command: str) -> Session:
        """Return the connection over which a command may be used now.

        Raises:
            NodeFailed: the node is not connected.
            InvalidRequest: the command may not be used; `details.reason` says why.
        """
        session = self._sessions.get(node_id)
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


def unknown_request() -> InvalidRequest:
    """There is no such request, or no longer."""
    return InvalidRequest("unknown requestId", outcome=Outcome.NOT_STARTED)


def _newest_first(dated: list[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [shown for _, shown in sorted(dated, key=lambda one: -one[0])]
