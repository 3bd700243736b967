"""RPC methods nodes call: answers, progress, events, what they publish, what waits for them.

Guarantees: a node speaks for itself only, and over its current connection only.

Source: OpenClaw gateway protocol, "Nodes".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from portico.clock import Clock
from portico.nodes.foreground import Foreground
from portico.nodes.incoming import NodeEvents
from portico.nodes.invoking import MAX_CHUNK_BYTES, answer_of
from portico.nodes.published import kept_skills, kept_tools
from portico.nodes.service import Nodes
from portico.nodes.session import Session
from portico.nodes.work import DEFAULT_TTL_MS, Priority, WaitingWork, WorkItem, WorkKind
from portico.protocol.errors import InvalidRequest, Outcome
from portico.protocol.scopes import Role, Scope
from portico.protocol.validation import Empty, OpenParams, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class InvokeError(OpenParams, frozen=True):
    """Why a command failed."""

    code: str | None = None
    message: str | None = None


class InvokeResult(Params, frozen=True, kw_only=True):
    """`{id, nodeId, ok, payload? | payloadJSON?, error?}`."""

    id: NonEmpty
    node_id: NonEmpty
    ok: bool
    payload: Any = None
    payload_json: str | None = msgspec.field(default=None, name="payloadJSON")
    error: InvokeError | None = None


class InvokeProgress(Params, frozen=True, kw_only=True):
    """`{invokeId, nodeId, seq, chunk}`."""

    invoke_id: NonEmpty
    node_id: NonEmpty
    seq: Count
    chunk: Annotated[str, msgspec.Meta(max_length=MAX_CHUNK_BYTES)]


class NodeEvent(Params, frozen=True, kw_only=True):
    """`{event, payload? | payloadJSON?}`."""

    event: NonEmpty
    payload: Any = None
    payload_json: str | None = msgspec.field(default=None, name="payloadJSON")


class McpSource(Params, frozen=True):
    """The MCP tool behind a published tool."""

    server: NonEmpty
    tool: NonEmpty


class PublishedTool(Params, frozen=True, kw_only=True):
    """A tool a node has."""

    plugin_id: NonEmpty
    name: Annotated[str, msgspec.Meta(pattern="^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
    description: NonEmpty
    parameters: dict[str, Any] | None = None
    command: NonEmpty | None = None
    mcp: McpSource | None = None


class PublishedSkill(Params, frozen=True, kw_only=True):
    """A skill a node has."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")]
    description: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    content: Annotated[str, msgspec.Meta(min_length=1, max_length=65_536)]


class ToolsUpdate(Params, frozen=True):
    """`{tools}`."""

    tools: Annotated[tuple[PublishedTool, ...], msgspec.Meta(max_length=128)]


class SkillsUpdate(Params, frozen=True):
    """`{skills}`."""

    skills: Annotated[tuple[PublishedSkill, ...], msgspec.Meta(max_length=64)]


class RunnerInventory(OpenParams, frozen=True):
    """Whatever a node says of the programs it could run agents with; it is only shown."""

    runners: Any = None


class AckActions(Params, frozen=True):
    """`{ids}`."""

    ids: Annotated[tuple[NonEmpty, ...], msgspec.Meta(min_length=1)]


class Drain(Params, frozen=True):
    """`{maxItems?}`."""

    max_items: Annotated[int, msgspec.Meta(ge=1, le=10)] = 4


class Enqueue(Params, frozen=True, kw_only=True):
    """`{nodeId, type, priority?, expiresInMs?, wake?}`."""

    node_id: NonEmpty
    type: WorkKind
    priority: Literal["normal", "high"] = "normal"
    expires_in_ms: Annotated[int, msgspec.Meta(ge=1_000, le=86_400_000)] = DEFAULT_TTL_MS
    wake: bool | None = None


class Heard(Result, frozen=True, omit_defaults=False):
    """Taken; or too late, and ignored."""

    ok: bool
    ignored: bool | msgspec.UnsetType = msgspec.UNSET


class EventTaken(Result, frozen=True, omit_defaults=False):
    """What became of an event."""

    ok: bool
    event: str
    handled: bool
    reason: str | msgspec.UnsetType = msgspec.UNSET


class Published(Result, frozen=True, omit_defaults=False):
    """What of it is kept."""

    node_id: str
    tools: tuple[dict[str, Any], ...] | msgspec.UnsetType = msgspec.UNSET
    skills: tuple[dict[str, Any], ...] | msgspec.UnsetType = msgspec.UNSET


class PendingActions(Result, frozen=True, omit_defaults=False):
    """Commands that wait for the node to come to the foreground."""

    node_id: str
    actions: list[dict[str, Any]]


class ActionsAcked(Result, frozen=True, omit_defaults=False):
    """What is done, and how much waits."""

    node_id: str
    acked_ids: list[str]
    remaining_count: int


class Drained(Result, frozen=True, omit_defaults=False):
    """Work for the node; it is its own now."""

    node_id: str
    revision: int
    items: list[WorkItem]
    has_more: bool


class Enqueued(Result, frozen=True, omit_defaults=False):
    """Work that waits for the node."""

    node_id: str
    revision: int
    queued: WorkItem
    wake_triggered: bool


class NodeRoleMethods:
    """What nodes call, and the queue that operators fill for them."""

    def __init__(
        self,
        nodes: Nodes,
        clock: Clock,
        *,
        events: NodeEvents,
        foreground: Foreground,
        work: WaitingWork,
    ) -> None:
        self._nodes = nodes
        self._clock = clock
        self._events = events
        self._foreground = foreground
        self._work = work

    @method("node.invoke.result", scope=None, role=Role.NODE)
    def result(self, call: Call, params: InvokeResult) -> Heard:
        """Answer a command; an answer nobody waits for any more is ignored."""
        _check_self(call, params.node_id)
        error = params.error or InvokeError()
        was_heard = call.connection is not None and self._nodes.invokes.result(
            call.connection.conn_id,
            params.id,
            answer=answer_of(params.payload, params.payload_json) if params.ok else None,
            error=(error.code or "NODE_ERROR", error.message or "the node gave no reason"),
        )
        return _heard(was_heard)

    @method("node.invoke.progress", scope=None, role=Role.NODE)
    def progress(self, call: Call, params: InvokeProgress) -> Heard:
        """Say something while a command runs."""
        _check_self(call, params.node_id)
        if len(params.chunk.encode()) > MAX_CHUNK_BYTES:
            raise InvalidRequest(f"chunk exceeds {MAX_CHUNK_BYTES} bytes")
        was_heard = call.connection is not None and self._nodes.invokes.progress(
            call.connection.conn_id, params.invoke_id, seq=params.seq, chunk=params.chunk
        )
        return _heard(was_heard)

    @method("node.event", scope=None, role=Role.NODE)
    async def event(self, call: Call, params: NodeEvent) -> EventTaken:
        """Tell the gateway that something happened on the node."""
        session = self._nodes.connections.session_over(
            call.connection.conn_id if call.connection else None
        )
        if session is None:
            return EventTaken(True, params.event, False, "stale_connection")
        payload = answer_of(params.payload, params.payload_json).payload
        taken = await self._events.take(session, params.event, payload)
        return EventTaken(True, params.event, taken.handled, taken.reason or msgspec.UNSET)

    @method("node.pluginTools.update", scope=None, role=Role.NODE)
    def tools(self, call: Call, params: ToolsUpdate) -> Published:
        """Publish the node's tools; agents get them only where the configuration lets them."""
        session = self._session(call)
        session.tools = kept_tools([msgspec.to_builtins(one) for one in params.tools])
        return Published(session.node_id, tools=tuple(map(dict, session.tools)))

    @method("node.skills.update", scope=None, role=Role.NODE)
    def skills(self, call: Call, params: SkillsUpdate) -> Published:
        """Publish the node's skills."""
        session = self._session(call)
        session.skills = kept_skills([msgspec.to_builtins(one) for one in params.skills])
        return Published(session.node_id, skills=tuple(map(dict, session.skills)))

    @method("node.runnerInventory.update", scope=None, role=Role.NODE, advertised=False)
    def runners(self, call: Call, params: RunnerInventory) -> Published:
        """Say which agent programs the node has. Portico runs none there."""
        return Published(self._session(call).node_id)

    @method("node.pending.pull", scope=None, role=Role.NODE)
    async def pull(self, call: Call, params: Empty) -> PendingActions:
        """Fetch the commands that waited for the node to come to the foreground."""
        session = self._session(call)
        usable = session.usable(self._nodes.settings().rules)
        waiting = await self._foreground.waiting(session.node_id, usable=usable)
        return PendingActions(session.node_id, waiting)

    @method("node.pending.ack", scope=None, role=Role.NODE)
    async def ack(self, call: Call, params: AckActions) -> ActionsAcked:
        """Say which of these are done."""
        node_id = self._session(call).node_id
        return ActionsAcked(node_id, *await self._foreground.ack(node_id, params.ids))

    @method("node.pending.drain", scope=None, role=Role.NODE)
    async def drain(self, call: Call, params: Drain) -> Drained:
        """Take the oldest work that waits for the node, the urgent first."""
        node_id = self._session(call).node_id
        given = await self._work.take(node_id, params.max_items)
        return Drained(node_id, given.revision, given.items, given.has_more)

    @method("node.pending.enqueue", scope=Scope.WRITE)
    async def enqueue(self, call: Call, params: Enqueue) -> Enqueued:
        """Leave a node some work for when it is there; the same kind of work waits only once."""
        row = await self._nodes.directory.find(params.node_id.strip())
        priority: Priority = params.priority
        left = await self._work.put(
            row.node_id, params.type, priority=priority, ttl_ms=params.expires_in_ms
        )
        return Enqueued(row.node_id, left.revision, left.item, False)

    def _session(self, call: Call) -> Session:
        session = self._nodes.connections.session_over(
            call.connection.conn_id if call.connection else None
        )
        if session is None:
            raise InvalidRequest("this connection is not the node's any more")
        return session


def _heard(was_heard: bool) -> Heard:  # noqa: FBT001 - the answer itself
    return Heard(ok=True, ignored=msgspec.UNSET if was_heard else True)


def _check_self(call: Call, node_id: str) -> None:
    if call.principal.device_id != node_id:
        raise InvalidRequest("nodeId mismatch", outcome=Outcome.NOT_STARTED)
