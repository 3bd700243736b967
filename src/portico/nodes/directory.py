"""The nodes this gateway knows, connected or not, as they are looked up and shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portico.nodes import shapes
from portico.nodes import store as node_store
from portico.nodes.connections import NodeConnections
from portico.nodes.model import NodeRow
from portico.nodes.settings import NodeSettings
from portico.protocol.errors import InvalidRequest, Outcome
from portico.store import Store


class NodeDirectory:
    """Every node, by its id or what people call it."""

    def __init__(
        self,
        *,
        store: Store,
        connections: NodeConnections,
        settings: Callable[[], NodeSettings],
    ) -> None:
        self._store = store
        self._connections = connections
        self._settings = settings

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
        session = self._connections.session(row.node_id)
        return shapes.node(
            row,
            session,
            rules=self._settings().rules,
            is_active=row.node_id == self._connections.active_id,
        )

    async def pairing(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the requests that wait, and the nodes that were approved; the newest first."""
        rows = await self._store.read(node_store.list_all)
        pending = [
            (row.asked.asked_at, shapes.pending(row, row.asked)) for row in rows if row.asked
        ]
        paired = [(row.approved_at or 0, shapes.paired(row)) for row in rows if row.approved]
        return _newest_first(pending), _newest_first(paired)


def _newest_first(dated: list[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [shown for _, shown in sorted(dated, key=lambda one: -one[0])]
