"""Invokes in flight: sent to one connection of one node, each answered once.

Theory of operation: an invoke is bound to the connection it was sent over. Only that connection can
answer it; when it ends, so do its invokes, also when the same node is back on another one.

Guarantees:
    - What becomes of an invoke is what `life` says; every failure says whether the command was sent
      and, when it was, that nobody knows what it did.
    - Under one idempotency key a command is sent once, also when the gateway died in between.
    - Every invoke ends in time; each node has a bounded number of them.
    - A caller that goes away takes its invokes with it; the node is told to stop.
    - What a command says while it runs comes in order, each piece once, before its answer.

Not here: who may use which command (`policy`), what waits for a person (`system_run`).

Source: OpenClaw gateway protocol, "node.invoke".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import msgspec
import structlog

from portico.clock import Clock
from portico.ids import ConnId, new_uuid
from portico.nodes import life
from portico.nodes import store as node_store
from portico.nodes.life import Happening, InvokeState
from portico.nodes.progress import Ordered, Piece
from portico.nodes.session import Session
from portico.observe.metrics import Metrics
from portico.protocol.errors import Unavailable
from portico.store import Store

log = structlog.get_logger()

MAX_CHUNK_BYTES = 16_384
Tell = Callable[[ConnId, str, Any], bool]
Heard = Callable[[str, Piece], None]
"""Takes a piece of what a command says while it runs, and the id of its invoke. Must not raise."""


@dataclass(frozen=True, slots=True)
class InvokeLimits:
    """Bounds of invokes.

    Attributes:
        timeout_ms: when the caller does not say.
        longest_ms: whatever the caller says.
        most_in_flight: per node.
    """

    timeout_ms: int = 30_000
    longest_ms: int = 3_600_000
    most_in_flight: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a node is asked to do.

    Attributes:
        subject: in whose name; with `key`, what makes a repeat a repeat.
        caller: the connection that waits for the answer.
        heard: is told in order what the command says while it runs.
        timeout_ms: `None` or 0: the usual.
    """

    command: str
    params: Any = None
    subject: str = ""
    key: str | None = None
    session_key: str | None = None
    timeout_ms: int | None = None
    caller: ConnId | None = None
    heard: Heard | None = None


class NodeAnswer(msgspec.Struct, frozen=True):
    """What a node answered.

    Attributes:
        payload_json: as it came, or as it was made from `payload`; `None`: nothing.
    """

    payload: Any
    payload_json: str | None


class NodeFailed(Unavailable):
    """The node could not be asked, did not answer, or answered that it could not.

    Attributes:
        node_code: the node's own word for it, or ours.
    """

    def __init__(
        self, node_code: str, text: str, *, state: InvokeState, retryable: bool | None = None
    ) -> None:
        shown = text if node_code == "NOT_CONNECTED" else f"{node_code}: {text}"
        super().__init__(
            shown,
            details={
                "code": node_code,
                "nodeError": {"code": node_code, "message": text},
                "nodeCommandDispatched": life.was_sent(state),
            },
            outcome=life.outcome(state),
            retryable=retryable,
        )
        self.node_code = node_code


@dataclass(slots=True, eq=False)
class Invoke:
    """One command on its way."""

    invoke_id: str
    node_id: str
    conn_id: ConnId
    order: Order
    done: asyncio.Future[NodeAnswer]
    state: InvokeState = InvokeState.PENDING
    said: Ordered = field(default_factory=Ordered)

    def take(self, happening: Happening) -> life.Step:
        """Let something happen to it."""
        taken = life.step(self.state, happening)
        self.state = taken.state
        return taken

    def show(self, pieces: list[Piece]) -> None:
        """Let who waits for it know what it says."""
        if self.order.heard is not None:
            for piece in pieces:
                self.order.heard(self.invoke_id, piece)


class Invokes:
    """Sends commands and matches what comes back.

    Args:
        tell: sends an event to a connection; says whether that could be done.
    """

    def __init__(
        self,
        *,
        tell: Tell,
        store: Store,
        clock: Clock,
        limits: Callable[[], InvokeLimits],
        metrics: Metrics,
    ) -> None:
        self._ended = metrics.node_invokes
        self._pieces = metrics.node_progress
        self._tell = tell
        self._store = store
        self._clock = clock
        self._limits = limits
        self._open: dict[str, Invoke] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def run(self, session: Session, order: Order) -> NodeAnswer:
        """Have a node do something and return its answer. May be cancelled.

        Raises:
            NodeFailed: it could not be asked, did not answer in time, or could not do it.
        """
        limits = self._limits()
        wanted_ms = order.timeout_ms or limits.timeout_ms
        timeout_ms = min(wanted_ms, limits.longest_ms)
        until_s = self._clock.monotonic_s() + timeout_ms / 1000
        before = sum(one.conn_id == session.conn_id for one in self._open.values())
        invoke = self._begin(session, order)
        try:
            await self._claim(invoke)
            if before >= limits.most_in_flight:
                await self._refuse_busy(order, before)
            left_ms = max(1, int((until_s - self._clock.monotonic_s()) * 1000))
            await self._send(invoke, timeout_ms=left_ms)
            await asyncio.wait({invoke.done}, timeout=left_ms / 1000)
            if not invoke.done.done():
                self._stop(invoke, Happening.TIMEOUT)
            return await invoke.done
        except asyncio.CancelledError:
            self._stop(invoke, Happening.CANCEL)
            raise
        finally:
            self._open.pop(invoke.invoke_id, None)
            self._ended.inc(invoke.state if life.is_over(invoke.state) else InvokeState.UNSENT)
            if not invoke.done.done():
                invoke.done.cancel()

    def _begin(self, session: Session, order: Order) -> Invoke:
        done: asyncio.Future[NodeAnswer] = asyncio.get_running_loop().create_future()
        invoke = Invoke(new_uuid(), session.node_id, session.conn_id, order, done)
        self._open[invoke.invoke_id] = invoke
        return invoke

    async def _claim(self, invoke: Invoke) -> None:
        order = invoke.order
        if order.key is None:
            return
        is_first = await self._store.write(
            node_store.claim,
            subject=order.subject,
            key=order.key,
            invoke_id=invoke.invoke_id,
            node_id=invoke.node_id,
            command=order.command,
            now=self._clock.now_ms(),
        )
        if not is_first:
            text = "this command was sent before, and its answer is not kept (any more)"
            raise NodeFailed("RESULT_LOST", text, state=InvokeState.LOST)

    async def _send(self, invoke: Invoke, *, timeout_ms: int) -> None:
        order = invoke.order
        is_sent = invoke.state is InvokeState.PENDING and self._tell(
            invoke.conn_id, "node.invoke.request", _request(invoke, timeout_ms)
        )
        invoke.take(Happening.SENT if is_sent else Happening.NOT_SENT)
        if is_sent:
            return
        await self._release(order)
        raise NodeFailed("NOT_CONNECTED", "node not connected", state=InvokeState.UNSENT)

    async def _refuse_busy(self, order: Order, under_way: int) -> NoReturn:
        # Not before its key is claimed: of a command that was sent before, nobody may say that it
        # was not.
        await self._release(order)
        raise NodeFailed(
            "NODE_BUSY",
            f"{under_way} commands are under way on this node; try again when one has ended",
            state=InvokeState.UNSENT,
            retryable=True,
        )

    async def _release(self, order: Order) -> None:
        if order.key is not None:
            await self._store.write(node_store.release, subject=order.subject, key=order.key)

    def _stop(self, invoke: Invoke, why: Happening) -> None:
        taken = invoke.take(why)
        if not taken.is_heard:
            return
        if taken.tells_node:
            told = {"invokeId": invoke.invoke_id, "nodeId": invoke.node_id}
            self._tell(invoke.conn_id, "node.invoke.cancel", told)
        if invoke.done.done():
            return
        code, text = _ENDS[why]
        invoke.done.set_exception(
            NodeFailed(code, f"{text} ({invoke.order.command})", state=invoke.state)
        )
        invoke.done.exception()  # its caller may be gone

    # -- what the node says ----------------------------------------------------------------------

    def result(
        self, conn_id: ConnId, invoke_id: str, *, answer: NodeAnswer | None, error: tuple[str, str]
    ) -> bool:
        """Take a node's answer; `False`: nobody waits for it (any more), or it is another's.

        Args:
            answer: `None`: it failed, with `error`, its code and text.
        """
        invoke = self._find(conn_id, invoke_id)
        if invoke is None:
            return False
        taken = invoke.take(Happening.ERROR if answer is None else Happening.RESULT)
        if not taken.is_heard or invoke.done.done():
            return False
        invoke.show(invoke.said.rest())
        if answer is not None:
            invoke.done.set_result(answer)
        else:
            invoke.done.set_exception(NodeFailed(*error, state=invoke.state))
            invoke.done.exception()
        return True

    def progress(self, conn_id: ConnId, invoke_id: str, *, seq: int, chunk: str) -> bool:
        """Take a piece of what a command says; `False`: it is not under way, or it came before."""
        is_taken = self._progress(conn_id, invoke_id, Piece(seq, chunk))
        self._pieces.inc("taken" if is_taken else "ignored")
        return is_taken

    def _progress(self, conn_id: ConnId, invoke_id: str, piece: Piece) -> bool:
        invoke = self._find(conn_id, invoke_id)
        if invoke is None or not invoke.take(Happening.PROGRESS).is_heard:
            return False
        ready = invoke.said.take(piece)
        if ready is None:
            return False
        invoke.show(ready)
        return True

    def _find(self, conn_id: ConnId, invoke_id: str) -> Invoke | None:
        invoke = self._open.get(invoke_id)
        return invoke if invoke is not None and invoke.conn_id == conn_id else None

    # -- connections that end --------------------------------------------------------------------

    def gone(self, conn_id: ConnId) -> None:
        """A connection has ended: a node's, with what it was asked, or a caller's."""
        for invoke in list(self._open.values()):
            if invoke.conn_id == conn_id:
                self._stop(invoke, Happening.DISCONNECT)
            elif invoke.order.caller == conn_id:
                self._stop(invoke, Happening.CANCEL)


_ENDS = {
    Happening.TIMEOUT: ("TIMEOUT", "node invoke timed out"),
    Happening.CANCEL: ("CANCELLED", "node invoke cancelled"),
    Happening.DISCONNECT: ("DISCONNECTED", "node disconnected"),
}


def _request(invoke: Invoke, timeout_ms: int) -> dict[str, Any]:
    order = invoke.order
    has_params = order.params is not None
    request: dict[str, Any] = {
        "id": invoke.invoke_id,
        "nodeId": invoke.node_id,
        "command": order.command,
        "paramsJSON": msgspec.json.encode(order.params).decode() if has_params else None,
        "timeoutMs": timeout_ms,
    }
    if order.key is not None:
        request["idempotencyKey"] = order.key
    if order.session_key is not None:
        request["sessionKey"] = order.session_key
    return request


def answer_of(payload: Any, payload_json: str | None) -> NodeAnswer:
    """Return a node's answer, whichever way it wrote it.

    JSON that is broken stays text: it is the node's business.
    """
    if payload_json is None:
        if payload is None:
            return NodeAnswer(None, None)
        return NodeAnswer(payload, msgspec.json.encode(payload).decode())
    try:
        return NodeAnswer(msgspec.json.decode(payload_json), payload_json)
    except (msgspec.DecodeError, RecursionError):
        return NodeAnswer(payload if payload is not None else payload_json, payload_json)
