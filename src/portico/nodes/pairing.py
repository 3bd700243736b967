"""Letting nodes in and out: what each was approved for, who decided, what it is called.

Guarantees: a node that was not approved is used for nothing; one that offers more than it was
approved for is used for what it was approved for. What is approved is one committed row before
anybody is told, and on record.

Not here: devices and their tokens (`auth`), what may be asked for (`policy`, `approval`).

Source: OpenClaw gateway protocol, "Node approval".
"""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

from portico.audit.service import Audit
from portico.auth.model import Principal
from portico.clock import Clock
from portico.nodes import approval
from portico.nodes import store as node_store
from portico.nodes.connections import NodeConnections, Publish
from portico.nodes.invoking import Tell
from portico.nodes.model import NOBODY, NodeDevices, NodeRow
from portico.protocol.errors import Forbidden, InvalidRequest, Outcome
from portico.store import Store

log = structlog.get_logger()

SETUP_CODE = "setup-code"


class NodePairing:
    """Decides about nodes, and hears of their devices (`devices.model.NodeBook`)."""

    def __init__(
        self,
        *,
        audit: Audit,
        store: Store,
        clock: Clock,
        publish: Publish,
        tell: Tell,
        devices: NodeDevices,
        connections: NodeConnections,
    ) -> None:
        self._audit = audit
        self._store = store
        self._clock = clock
        self._publish = publish
        self._tell = tell
        self._devices = devices
        self._connections = connections

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
        session = self._connections.remember(row)
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
        self._connections.remember(row)
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

    async def verified(self, node_id: str, token: str) -> NodeRow | None:
        """Return an approved node whose token this is; `None`: it is not."""
        row = await self._store.read(node_store.find, node_id)
        if row is None or row.approved is None:
            return None
        return row if await self._devices.has_token(node_id, token) else None

    # -- what the devices tell ---------------------------------------------------------------------

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
            self._connections.remember(row)
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
        self._connections.dismiss(device_id)
        return was_known

    async def _rename(self, node_id: str, name: str) -> NodeRow | None:
        def decide(row: NodeRow | None) -> NodeRow | None:
            return None if row is None else msgspec.structs.replace(row, name=name)

        _, row = await self._store.write(node_store.change, node_id, decide)
        if row is not None:
            self._connections.remember(row)
        return row


def unknown_request() -> InvalidRequest:
    """There is no such request, or no longer."""
    return InvalidRequest("unknown requestId", outcome=Outcome.NOT_STARTED)
