"""RPC methods operators call: nodes, their approval, and using them.

Source: OpenClaw gateway protocol, "node.*", "exec.approvals.node.*"; `node.pair.request` and
`node.pair.verify` are gone from protocol 4 and answered for clients of protocol 3 that still ask.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import msgspec

from portico.clock import Clock
from portico.ids import ConnId
from portico.nodes import policy, shapes
from portico.nodes.foreground import Foreground, is_for_foreground
from portico.nodes.invoking import NodeAnswer, NodeFailed, Order
from portico.nodes.life import InvokeState
from portico.nodes.progress import Piece
from portico.nodes.service import Nodes
from portico.nodes.system_run import SystemRuns
from portico.protocol.errors import InvalidRequest, Outcome
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, OpenParams, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class NodeId(Params, frozen=True):
    """`{nodeId}`."""

    node_id: NonEmpty


class RequestId(Params, frozen=True):
    """`{requestId}`."""

    request_id: NonEmpty


class OldRequest(OpenParams, frozen=True):
    """`{nodeId, …}`: what it says of the node is not believed."""

    node_id: NonEmpty


class OldVerify(Params, frozen=True):
    """`{nodeId, token}`."""

    node_id: NonEmpty
    token: NonEmpty


class Rename(Params, frozen=True):
    """`{nodeId, displayName}`."""

    node_id: NonEmpty
    display_name: Name


class NodeInvoke(Params, frozen=True, kw_only=True):
    """`{nodeId, command, params?, timeoutMs?, idempotencyKey, sessionKey?, turnSource*?}`."""

    node_id: NonEmpty
    command: NonEmpty
    idempotency_key: NonEmpty
    params: Any = None
    timeout_ms: Count | None = None
    session_key: NonEmpty | None = None
    turn_source_channel: str | None = None
    turn_source_to: str | None = None
    turn_source_account_id: str | None = None
    turn_source_thread_id: str | float | None = None


class ApprovalsSet(Params, frozen=True, kw_only=True):
    """`{nodeId, file?, native?, baseHash?}`."""

    node_id: NonEmpty
    file: dict[str, Any] | None = None
    native: dict[str, Any] | None = None
    base_hash: NonEmpty | None = None


class NodeList(Result, frozen=True, kw_only=True):
    """Every node."""

    ts: int
    nodes: list[dict[str, Any]]
    active_node_id: str | None = None


class PairList(Result, frozen=True):
    """What waits, and what was approved."""

    pending: list[dict[str, Any]]
    paired: list[dict[str, Any]]


class Approved(Result, frozen=True):
    """A request that was granted."""

    request_id: str
    node: dict[str, Any]


class Removed(Result, frozen=True):
    """A node that is forgotten."""

    node_id: str


class Renamed(Result, frozen=True):
    """A node and its name."""

    node_id: str
    display_name: str


class Invoked(Result, frozen=True, omit_defaults=False):
    """What a node answered."""

    ok: bool
    node_id: str
    command: str
    payload: Any
    payload_json: str | None = msgspec.field(name="payloadJSON")


def invoke_scope(params: NodeInvoke) -> Scope:
    """Return what calling a command needs."""
    return Scope.ADMIN if params.command in policy.ADMIN_TO_INVOKE else Scope.WRITE


Show = Callable[[ConnId, str, Any], None]
"""Sends one connection an event, if it is here and keeps up."""


class NodeMethods:
    """`node.list`, `node.pair.*`, `node.invoke` and their kin."""

    def __init__(
        self,
        nodes: Nodes,
        clock: Clock,
        *,
        system_runs: SystemRuns,
        foreground: Foreground,
        show: Show,
    ) -> None:
        self._nodes = nodes
        self._clock = clock
        self._show = show
        self._system_runs = system_runs
        self._foreground = foreground

    @method("node.list", scope=Scope.READ)
    async def list_nodes(self, call: Call, params: Empty) -> NodeList:
        """List every node, connected or not, with the commands that may be used."""
        shown = await self._nodes.directory.entries()
        return NodeList(
            ts=self._clock.now_ms(), nodes=shown, active_node_id=self._nodes.connections.active_id
        )

    @method("node.describe", scope=Scope.READ)
    async def describe(self, call: Call, params: NodeId) -> dict[str, Any]:
        """Show one node."""
        return {
            "ts": self._clock.now_ms(),
            **await self._nodes.directory.describe(params.node_id.strip()),
        }

    @method("node.rename", scope=Scope.PAIRING)
    async def rename(self, call: Call, params: Rename) -> Renamed:
        """Call a node something else."""
        name = params.display_name.strip()
        if not name:
            raise InvalidRequest("displayName required", outcome=Outcome.NOT_STARTED)
        await self._check_own(call, params.node_id, "rename")
        row = await self._nodes.pairing.rename(params.node_id.strip(), name, call.principal)
        return Renamed(row.node_id, name)

    @method("node.pair.list", scope=Scope.PAIRING)
    async def pair_list(self, call: Call, params: Empty) -> PairList:
        """List what nodes ask to be approved for, and the approved ones."""
        pending, paired = await self._nodes.directory.pairing()
        mine = self._only(call)
        if mine is None:
            return PairList(pending, paired)
        return PairList(
            [one for one in pending if one["nodeId"] == mine],
            [one for one in paired if one["nodeId"] == mine],
        )

    @method("node.pair.request", scope=Scope.PAIRING, advertised=False)
    async def request(self, call: Call, params: OldRequest) -> dict[str, Any]:
        """Say how a node's request stands (protocol 3). Nodes make requests by connecting."""
        row = await self._nodes.directory.find(params.node_id.strip())
        await self._check_own(call, row.node_id, "request")
        if row.asked is None:
            state = "approved" if row.approved is not None else "rejected"
            return {"status": state, "created": False}
        return {
            "status": "pending",
            "request": shapes.pending(row, row.asked),
            "created": False,
        }

    @method("node.pair.verify", scope=Scope.PAIRING, advertised=False)
    async def verify(self, call: Call, params: OldVerify) -> dict[str, Any]:
        """Say whether a token is an approved node's (protocol 3)."""
        row = await self._nodes.pairing.verified(params.node_id.strip(), params.token)
        return {"ok": False} if row is None else {"ok": True, "node": shapes.paired(row)}

    @method("node.pair.approve", scope=Scope.PAIRING)
    async def approve(self, call: Call, params: RequestId) -> Approved:
        """Let a node be used for what it asks; programs on it need operator.admin."""
        row = await self._nodes.pairing.approve(params.request_id, call.principal)
        return Approved(params.request_id, shapes.paired(row))

    @method("node.pair.reject", scope=Scope.PAIRING)
    async def reject(self, call: Call, params: RequestId) -> dict[str, Any]:
        """Refuse what a node asks."""
        row = await self._nodes.pairing.reject(params.request_id, call.principal)
        return {"requestId": params.request_id, "nodeId": row.node_id}

    @method("node.pair.remove", scope=Scope.PAIRING)
    async def remove(self, call: Call, params: NodeId) -> Removed:
        """Forget a node, and disconnect it."""
        await self._check_own(call, params.node_id, "removal")
        await self._nodes.pairing.remove(params.node_id.strip(), call.principal)
        return Removed(params.node_id.strip())

    @method("node.invoke", scope=Scope.WRITE, scope_rule=invoke_scope, mutates=True)
    async def invoke(self, call: Call, params: NodeInvoke) -> Invoked:
        """Have a node do something, and wait for its answer.

        What it says meanwhile comes as `node.invoke.progress`, before the answer.
        """
        node_id, command = params.node_id.strip(), params.command.strip()
        caller = call.connection.conn_id if call.connection else None
        _check_public(command)
        await self._nodes.directory.find(node_id)
        self._nodes.check(node_id, command)
        order = Order(
            command=command,
            params=await self._checked(call, node_id, command, params.params),
            subject=call.principal.subject,
            key=params.idempotency_key,
            session_key=params.session_key,
            timeout_ms=params.timeout_ms,
            caller=caller,
            heard=None if caller is None else partial(self._said, caller, node_id, params),
        )
        answer = await self._invoke(node_id, order)
        return Invoked(True, node_id, command, answer.payload, answer.payload_json)

    def _said(
        self, caller: ConnId, node_id: str, asked: NodeInvoke, invoke_id: str, piece: Piece
    ) -> None:
        said = {
            "invokeId": invoke_id,
            "nodeId": node_id,
            "command": asked.command.strip(),
            "idempotencyKey": asked.idempotency_key,
            "seq": piece.seq,
            "chunk": piece.chunk,
        }
        self._show(caller, "node.invoke.progress", said)

    async def _checked(self, call: Call, node_id: str, command: str, params: Any) -> Any:
        if command != "system.run":
            return params
        return await self._system_runs.forwarded(params, node_id=node_id, by=call.principal)

    async def _invoke(self, node_id: str, order: Order) -> NodeAnswer:
        try:
            return await self._nodes.invoke(node_id, order)
        except NodeFailed as error:
            session = self._nodes.connections.session(node_id)
            if session is None or not is_for_foreground(session.about, order.command, error):
                raise
            raise await self._foreground.queued(node_id, order, error) from error

    @method("exec.approvals.node.get", scope=Scope.ADMIN)
    async def approvals_get(self, call: Call, params: NodeId) -> dict[str, Any]:
        """Show what may run on a node without asking, as the node keeps it."""
        return await self._relay(call, params.node_id, "system.execApprovals.get", {})

    @method("exec.approvals.node.set", scope=Scope.ADMIN)
    async def approvals_set(self, call: Call, params: ApprovalsSet) -> dict[str, Any]:
        """Replace what may run on a node without asking, unless it has changed since."""
        given = {"file": params.file, "native": params.native, "baseHash": params.base_hash}
        sent = {name: value for name, value in given.items() if value is not None}
        if "file" not in sent and "native" not in sent:
            raise InvalidRequest("file required", outcome=Outcome.NOT_STARTED)
        return await self._relay(call, params.node_id, "system.execApprovals.set", sent)

    async def _relay(self, call: Call, node_id: str, command: str, params: Any) -> dict[str, Any]:
        await self._nodes.directory.find(node_id.strip())
        caller = call.connection.conn_id if call.connection else None
        answer = await self._nodes.invoke(
            node_id.strip(),
            Order(command=command, params=params, subject=call.principal.subject, caller=caller),
        )
        if not isinstance(answer.payload, dict):
            text = "the node's answer is no policy"
            raise NodeFailed("INVALID_RESULT", text, state=InvokeState.FAILED)
        return answer.payload

    @staticmethod
    def _only(call: Call) -> str | None:
        """The device a caller is kept to: one that is no administrator sees only itself."""
        return None if Scope.ADMIN in call.principal.scopes else call.principal.device_id

    async def _check_own(self, call: Call, node_id: str, what: str) -> None:
        mine = self._only(call)
        if mine is not None and mine != node_id.strip():
            raise InvalidRequest(f"node {what} denied", outcome=Outcome.NOT_STARTED)


def _check_public(command: str) -> None:
    why = None
    if policy.is_private(command):
        why = "node.invoke does not allow private node controls"
    elif command in policy.EXEC_APPROVALS:
        why = "node.invoke does not allow system.execApprovals.*; use exec.approvals.node.*"
    elif command == policy.AGENT_RUN:
        why = "node.invoke does not allow agent runs on nodes"
    if why is not None:
        raise InvalidRequest(why, details={"command": command}, outcome=Outcome.NOT_STARTED)
