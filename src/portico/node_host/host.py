"""The node host: one connection to a gateway, and the commands that come over it.

Theory of operation: the client keeps the connection and comes back after a loss. Each request is a
task of its own; the ledger sees to it that none is carried out twice. What a command answers is
sent until the gateway has it, also over the next connection.

Guarantees: at most `max_running` commands at a time; a cancelled command is stopped, and its
program with it; when the host stops, so do all; every wait on the gateway is bounded.

Source: OpenClaw gateway protocol, "Nodes", "Node host".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from portico.client import (
    ClientError,
    ClientSettings,
    ConnectionLost,
    ConnectRefused,
    Event,
    EventStream,
    GatewayClient,
    Hello,
    TimedOut,
)
from portico.node_host.ledger import Ledger
from portico.node_host.model import CommandError, Handler, Invoked, InvokeRequest, Outcome
from portico.node_host.progress import Progress
from portico.node_host.state import Standing, StateFile
from portico.node_host.stats import EVERY_S, host_stats
from portico.tasks import Tasks

log = structlog.get_logger()

MAX_RESULT_BYTES: Final = 25_000_000
EVENT_TIMEOUT_S: Final = 10.0
RESULT_TIMEOUT_S: Final = 60.0
RESULT_ATTEMPTS: Final = 5
_WANTED: Final = ("node.invoke.request", "node.invoke.cancel", "node.pair.resolved", "shutdown")


class NodeHost:
    """A node. `run` lasts until it is cancelled or the gateway does not want it.

    Args:
        settings: of the client: role node, its device, its offer.
        home: the folder whose disk is reported.
    """

    def __init__(
        self,
        *,
        settings: ClientSettings,
        commands: Mapping[str, Handler],
        state: StateFile,
        home: Path,
        max_running: int,
    ) -> None:
        self._on_connected = settings.on_connected
        self._client = GatewayClient(
            replace(settings, on_connected=self._connected, on_waiting=self._waiting)
        )
        self._node_id = settings.device.device_id if settings.device else ""
        self._commands = commands
        self._state = state
        self._home = home
        self._ledger = Ledger(most_running=max_running)
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._tasks = Tasks(_failed)
        self._greet = asyncio.Event()

    async def run(self) -> None:
        """Serve the gateway.

        Raises:
            ClientError: the gateway does not let this node in, and trying again is useless.
        """
        stream = self._client.events(*_WANTED)
        try:
            await self._client.connect()
            self._tasks.start(self._report(), name="node_host.report")
            await self._follow(stream)
        except ClientError as error:
            self._state.change("stopped", error=str(error))
            raise
        finally:
            await self._tasks.stop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVENT_TIMEOUT_S):
                    await self._client.close()

    # -- the connection --------------------------------------------------------------------------

    def _connected(self, hello: Hello) -> None:
        log.info(
            "node_host.connected",
            gateway=hello.server.version,
            node_id=self._node_id,
            commands=sorted(self._commands),
            note="commands can be used once the node is approved: portico nodes pending",
        )
        self._state.change("connected", gateway=hello.server.version)
        if self._on_connected is not None:
            self._on_connected(hello)
        self._greet.set()

    def _waiting(self, error: ClientError, delay_s: float) -> None:
        is_pairing = isinstance(error, ConnectRefused) and error.is_pairing
        request_id = error.details.get("requestId") if isinstance(error, ConnectRefused) else None
        standing: Standing = "waiting-for-approval" if is_pairing else "connecting"
        named = str(request_id) if is_pairing and request_id else None
        if not self._state.change(standing, error=str(error), request_id=named):
            return  # said before
        if is_pairing:
            log.warning(
                "node_host.waiting_for_approval",
                request_id=named,
                node_id=self._node_id,
                note=f"on the gateway: portico devices approve {named or 'REQUEST'}",
            )
        else:
            log.warning("node_host.not_connected", error=str(error), again_in_s=round(delay_s, 1))

    async def _report(self) -> None:
        """Say that the node is here, and how its machine does."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._greet.wait()
            if self._greet.is_set():
                self._greet.clear()
                await self._event("node.presence.alive", {"trigger": "connect"})
            if self._client.is_connected:
                stats = await asyncio.to_thread(host_stats, self._home)
                await self._event("node.host.stats", stats)

    async def _event(self, name: str, payload: dict[str, Any]) -> None:
        """Tell the gateway something; what it does not get is let go."""
        if not self._client.is_connected:
            return
        said = {"event": name, "payloadJSON": msgspec.json.encode(payload).decode()}
        try:
            await self._client.call("node.event", said, timeout_s=EVENT_TIMEOUT_S)
        except ClientError as error:
            log.debug("node_host.event_lost", name=name, error=str(error))

    # -- commands --------------------------------------------------------------------------------

    async def _follow(self, stream: EventStream) -> None:
        async for event in stream:
            if not isinstance(event, Event):
                continue  # requests are not repeated by the gateway; who asked was told
            try:
                self._take(event)
            except (msgspec.ValidationError, KeyError, TypeError) as error:
                log.warning("node_host.bad_event", name=event.name, error=str(error))

    def _take(self, event: Event) -> None:
        if event.name == "node.invoke.request":
            request = msgspec.convert(event.payload, InvokeRequest)
            task = self._tasks.start(self._serve(request), name="node_host.invoke")
            self._serving[request.id] = task
            task.add_done_callback(lambda _done: self._serving.pop(request.id, None))
        elif event.name == "node.invoke.cancel":
            self._cancel(str(event.payload["invokeId"]))
        elif event.name == "node.pair.resolved" and event.payload.get("nodeId") == self._node_id:
            log.info("node_host.reviewed", decision=event.payload.get("decision"))

    def _cancel(self, invoke_id: str) -> None:
        task = self._serving.get(invoke_id)
        if task is not None:
            log.info("node_host.cancelled", invoke_id=invoke_id)
            task.cancel()

    async def _serve(self, request: InvokeRequest) -> None:
        outcome, is_repeat = await self._ledger.run(request, lambda: self._carry_out(request))
        log.info(
            "node_host.invoked",
            command=request.command,
            invoke_id=request.id,
            ok=outcome.error is None,
            error=outcome.error[0] if outcome.error else None,
            is_repeat=is_repeat,
        )
        await self._answer(outcome.to_wire(request.id, request.node_id or self._node_id))

    async def _carry_out(self, request: InvokeRequest) -> Outcome:
        handler = self._commands.get(request.command)
        if handler is None:
            return Outcome(error=("UNAVAILABLE", "command not supported"))
        progress = Progress(lambda seq, chunk: self._say(request, seq, chunk))
        pump = self._tasks.start(progress.pump(), name="node_host.progress")
        try:
            invoked = Invoked(
                invoke_id=request.id,
                command=request.command,
                params=request.params(),
                timeout_s=request.timeout_ms / 1000 if request.timeout_ms else None,
                session_key=request.session_key,
                progress=progress.add,
                event=self._event,
            )
            return _bounded(Outcome(payload=await handler(invoked)))
        except CommandError as error:
            return Outcome(error=(error.code, str(error)))
        except asyncio.CancelledError:
            pump.cancel()
            raise
        except Exception as error:
            log.error("node_host.failed", command=request.command, exc_info=error)
            return Outcome(error=("UNAVAILABLE", "node invocation failed"))
        finally:
            progress.end()
            await _let_go(pump)

    async def _say(self, request: InvokeRequest, seq: int, chunk: str) -> None:
        piece = {"invokeId": request.id, "seq": seq, "chunk": chunk}
        node_id = request.node_id or self._node_id
        await self._client.call(
            "node.invoke.progress", {**piece, "nodeId": node_id}, timeout_s=EVENT_TIMEOUT_S
        )

    async def _answer(self, result: dict[str, Any]) -> None:
        """Send a result until the gateway has it: it takes the same one twice."""
        for attempt in range(1, RESULT_ATTEMPTS + 1):
            try:
                await self._client.call("node.invoke.result", result, timeout_s=RESULT_TIMEOUT_S)
                return
            except ClientError as error:
                may_help = isinstance(error, (ConnectionLost, TimedOut))
                if not may_help or attempt == RESULT_ATTEMPTS:
                    log.warning("node_host.result_lost", invoke_id=result["id"], error=str(error))
                    return


def _bounded(outcome: Outcome) -> Outcome:
    if len(msgspec.json.encode(outcome.payload)) <= MAX_RESULT_BYTES:
        return outcome
    return Outcome(error=("PAYLOAD_TOO_LARGE", f"the answer is over {MAX_RESULT_BYTES} bytes"))


async def _let_go(pump: asyncio.Task[Any]) -> None:
    """Give the last output a moment to leave before the result does."""
    await asyncio.wait([pump], timeout=EVENT_TIMEOUT_S)
    pump.cancel()


def _failed(name: str, error: BaseException) -> None:
    log.error("node_host.task_failed", task=name, exc_info=error)
