"""Hot paths without sockets: the CPU of ours beside the least that any program would need.

Everything runs in this process, ours and its baseline in turn; the median round counts.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.baseline import Answer, Call, decode, encode
from benchmarks.figures import Figure
from benchmarks.servers import Bench

REQUEST = '{"type":"req","id":"17","method":"ping","params":{"text":"hello","count":3}}'
RECEIVERS = 1_000


def measure(bench: Bench) -> list[Figure]:
    """Measure the three paths."""
    rounds = 3 if bench.quick else 7
    return [
        _frame_to_frame(rounds),
        _fan_out(rounds),
        asyncio.run(_accept(bench.folder / "micro.db", 20 if bench.quick else 60)),
    ]


def _cpu_us(run: Callable[[], object], operations: int) -> float:
    started = time.process_time_ns()
    run()
    return (time.process_time_ns() - started) / 1e3 / operations


def _in_turn(
    ours: Callable[[], object], bare: Callable[[], object], operations: int, rounds: int
) -> tuple[float, float]:
    pairs = [(_cpu_us(ours, operations), _cpu_us(bare, operations)) for _ in range(rounds)]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


# --- frame → dispatch → frame -------------------------------------------------------------------


def _frame_to_frame(rounds: int) -> Figure:
    operations = 20_000
    answer = _conversation()

    def ours() -> None:
        for _ in range(operations):
            answer(REQUEST)

    def bare() -> None:
        for _ in range(operations):
            call: Call = decode(REQUEST)
            encode(Answer("res", call.id, True, call.params))

    value, baseline = _in_turn(ours, bare, operations, rounds)
    return Figure(
        name="micro: frame → dispatch → frame",
        unit="µs",
        value=value,
        baseline=baseline,
        also="bare: decode and encode alone",
    )


class Ping(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Params of the method under measurement."""

    text: str
    count: int = 0


class PingMethods:
    """One trivial method, declared as every feature's are."""

    def ping(self, call: Any, params: Ping) -> Ping:
        """Answer with the params."""
        return params


def _conversation() -> Callable[[str], bytes]:
    from portico.auth.model import Principal
    from portico.clock import SystemClock
    from portico.protocol.frames import RequestFrame
    from portico.protocol.scopes import Scope
    from portico.rpc.call import Call as OurCall
    from portico.rpc.connection import Connection, ConnectionLimits, Phase, Send
    from portico.rpc.dispatch import Dispatcher
    from portico.rpc.method import Registry, method

    # `method` reads the annotations' names from this module, where `Call` is the baseline's.
    PingMethods.ping.__annotations__["call"] = OurCall
    PingMethods.ping = method("ping", scope=Scope.READ)(PingMethods.ping)  # type: ignore[method-assign]
    registry = Registry()
    registry.add(PingMethods())
    nothing: Any = None
    dispatcher = Dispatcher(registry, nothing, SystemClock())
    call = OurCall(Principal.http_operator("none", ip=None, local=True))
    connection = Connection("nonce", lambda: None, ConnectionLimits())
    connection.phase = Phase.OPEN

    def answer(text: str) -> bytes:
        (frame,) = connection.receive(text)
        assert isinstance(frame, RequestFrame)
        target, params = dispatcher.prepare(frame.method, frame.params, call)
        assert dispatcher.is_immediate(target, params)
        (send,) = connection.succeeded(frame.id, dispatcher.call_now(target, params, call))
        assert isinstance(send, Send)
        return send.data

    return answer


# --- one event, many receivers ------------------------------------------------------------------


class _Heap:
    """A connection that keeps what it is sent."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def send_event(self, frame: bytes, *, droppable: bool) -> bool:
        """Take a frame."""
        self.kept.append(frame)
        return True


def _fan_out(rounds: int) -> Figure:
    from portico.events.hub import Hub, Subscription
    from portico.ids import ConnId

    hub = Hub(epoch="bench", window=512, window_bytes=4_000_000)
    scopes = frozenset(("operator.read", "operator.write", "operator.admin"))
    heaps = [_Heap() for _ in range(RECEIVERS)]
    for number, heap in enumerate(heaps):
        hub.subscribe(Subscription(ConnId(f"c{number}"), heap, "operator", scopes))
    payload = {"state": "delta", "sessionKey": "agent:main:main", "deltaText": "x" * 200}

    def ours() -> None:
        for heap in heaps:
            heap.kept.clear()
        for _ in range(20):
            hub.publish("chat", payload, session_key="agent:main:main")

    def bare() -> None:
        for heap in heaps:
            heap.kept.clear()
        for _ in range(20):
            frame = encode({"type": "event", "event": "chat", "payload": payload})
            for heap in heaps:
                heap.send_event(frame, droppable=True)

    value, baseline = _in_turn(ours, bare, 20 * RECEIVERS, rounds)
    assert heaps[0].kept
    return Figure(
        name="micro: event to one of 1,000 receivers",
        unit="µs",
        value=value,
        baseline=baseline,
        also="bare: one encoding, a loop of appends",
    )


# --- a message becomes durable ------------------------------------------------------------------


async def _accept(database: Path, batches: int) -> Figure:
    from portico.agents.runtime import TurnRequest
    from portico.channels.model import InboundMessage, Peer
    from portico.clock import SystemClock
    from portico.inbox.model import Routing
    from portico.inbox.service import Inbox
    from portico.store import open_store

    store = open_store(f"sqlite:///{database}")
    await store.start()
    inbox = Inbox(store=store, clock=SystemClock(), lanes=_NoLanes())

    async def one(number: int) -> None:
        message = InboundMessage(
            channel="webchat",
            account="default",
            event_key=f"k{number}",
            peer=Peer("direct", "me"),
            sender="me",
            text="How is the weather today?",
        )
        routing = Routing(f"agent:main:s{number % 16}", "main")
        await inbox.accept(message, TurnRequest(text=message.text), routing)

    async def ours(first: int) -> None:
        await asyncio.gather(*(one(number) for number in range(first, first + 16)))

    await ours(10**6)
    plain = _plain_database(database.with_name("plain.db"))
    values, baselines = [], []
    for batch in range(batches):
        started = time.process_time_ns()
        await ours(batch * 16)
        values.append((time.process_time_ns() - started) / 16e3)
        started = time.process_time_ns()
        _insert(plain, batch * 16)
        baselines.append((time.process_time_ns() - started) / 16e3)
    plain.close()
    await store.stop()
    return Figure(
        name="micro: message accepted, 16 at once",
        unit="µs",
        value=statistics.median(values),
        baseline=statistics.median(baselines),
        also="bare: one row each, one commit",
    )


class _NoLanes:
    """Lanes that take nothing: what is measured is the accepting."""

    def enqueue(self, message: Any) -> Any:
        """Do no work."""
        yield from ()

    def begin(self, enqueued: Any) -> None:
        """Begin nothing."""


def _plain_database(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE messages (key TEXT PRIMARY KEY, sender TEXT, body TEXT)")
    return connection


def _insert(connection: sqlite3.Connection, first: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for number in range(first, first + 16):
        row = (f"k{number}", "me", encode({"text": "How is the weather today?", "parts": []}))
        connection.execute("INSERT INTO messages VALUES (?, ?, ?)", row)
    connection.execute("COMMIT")
