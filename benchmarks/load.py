"""The load process: one scenario against one server, and what it cost the server.

    python -m benchmarks.load '{"scenario": "call", "port": 18789, …}'

Guarantees: it warms up before it measures; an answer that is not a success fails the run.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import uvloop

from benchmarks.client import Http, HttpStream, WebSocket, text_frame
from benchmarks.process import cpu_s, private_kb, resident_kb

CONNECTING_AT_ONCE = 16
SCENARIO_TIMEOUT_S = 60
_RESULT = b'"type":"res"'


class Job(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to do.

    Attributes:
        token: the gateway's; empty for the bare server, which challenges nobody.
        operations: how many to measure; a tenth as many, at least 20, warm up first.
        depth: requests in flight on each connection.
        path: for `http` and `complete`.
        model, stream: for `complete`.
    """

    scenario: str
    port: int
    pid: int
    token: str = ""
    operations: int = 1_000
    connections: int = 1
    depth: int = 1
    method: str = "echo"
    params: msgspec.Raw = msgspec.Raw(b"{}")
    path: str = "/"
    caps: list[str] = []
    model: str = ""
    stream: bool = False


class Cost(msgspec.Struct, kw_only=True):
    """What an operation cost.

    Attributes:
        client_busy: the share of the time this process computed; near 1 it was the bottleneck.
    """

    cpu_us: float = 0.0
    per_s: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    client_busy: float = 0.0
    more: dict[str, float] = {}


class _Event(msgspec.Struct, rename="camel"):
    session_key: str = ""
    state: str = ""


class _Frame(msgspec.Struct):
    type: str
    id: str = ""
    ok: bool = False
    event: str = ""
    payload: msgspec.Raw = msgspec.Raw(b"{}")


_decode_frame = msgspec.json.Decoder(_Frame).decode
_decode_event = msgspec.json.Decoder(_Event).decode


class Load:
    """Connections to one server, and the measuring."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._connect = text_frame(_connect_request(job))
        self._latencies: list[float] = []

    # --- connections ----------------------------------------------------------------------------

    async def open(self) -> WebSocket:
        """Return a connection that has said hello."""
        loop = asyncio.get_running_loop()
        _, socket = await loop.create_connection(WebSocket, "127.0.0.1", self._job.port)
        await socket.next()
        if self._job.token:
            await socket.next()  # the challenge
        socket.send(self._connect)
        hello = _decode_frame(await socket.next())
        if not hello.ok:
            raise ConnectionError(f"refused: {bytes(hello.payload)!r}")
        return socket

    async def open_many(self, count: int) -> list[WebSocket]:
        """Open connections, a few at a time: a gateway bounds how many may be unknown to it."""
        opened: list[WebSocket] = []
        while len(opened) < count:
            some = min(CONNECTING_AT_ONCE, count - len(opened))
            opened += await asyncio.gather(*(self.open() for _ in range(some)))
        return opened

    # --- measuring ------------------------------------------------------------------------------

    async def measure(self, run: Callable[[int], Awaitable[None]], operations: int) -> Cost:
        """Warm up with `run(n)`, then measure it."""
        await run(max(20, operations // 10))
        self._latencies.clear()
        own, before, started = time.process_time(), cpu_s(self._job.pid), time.perf_counter()
        await run(operations)
        wall = time.perf_counter() - started
        used, own = cpu_s(self._job.pid) - before, time.process_time() - own
        cost = Cost(cpu_us=used / operations * 1e6, per_s=operations / wall, client_busy=own / wall)
        if len(self._latencies) > 1:
            cuts = statistics.quantiles(self._latencies, n=100)
            cost.p50_ms, cost.p99_ms = cuts[49] * 1e3, cuts[98] * 1e3
        return cost

    async def _timed(self, awaitable: Awaitable[Any]) -> None:
        started = time.perf_counter()
        await awaitable
        self._latencies.append(time.perf_counter() - started)

    # --- scenarios ------------------------------------------------------------------------------

    async def connect(self) -> Cost:
        """Connect, say hello, hang up."""
        left = 0

        async def one_after_another() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await self._timed(self._visit())

        async def run(operations: int) -> None:
            nonlocal left
            left = operations
            await asyncio.gather(*(one_after_another() for _ in range(self._job.connections)))

        return await self.measure(run, self._job.operations)

    async def _visit(self) -> None:
        (await self.open()).close()

    async def call(self) -> Cost:
        """Call one method on each connection, `depth` calls in flight, again and again."""
        sockets = await self.open_many(self._job.connections)
        caller = _Caller(self._job, sockets, self._latencies)
        await caller.check()
        cost = await self.measure(caller.run, self._job.operations)
        for socket in sockets:
            socket.close()
        return cost

    async def chat(self) -> Cost:
        """Keep one chat run going in each of `connections` sessions, from `chat.send` to final."""
        (socket,) = await self.open_many(1)
        talk = _Talk(self._job, socket, self._latencies)
        cost = await self.measure(talk.run, self._job.operations)
        cost.more["events_per_run"] = talk.events / talk.finished
        socket.close()
        return cost

    async def http(self) -> Cost:
        """Post messages to `path` on each connection, one request at a time."""
        numbers = itertools.count()
        return await self._posting(Http, lambda n: _message(f"bench{n}", next(numbers)))

    async def complete(self) -> Cost:
        """Ask for chat completions on each connection, one at a time."""
        messages = [{"role": "user", "content": "How is the weather today?"}]
        body = msgspec.json.encode(
            {
                "model": self._job.model,
                "messages": messages,
                "stream": self._job.stream,
            }
        )
        return await self._posting(HttpStream if self._job.stream else Http, lambda _: body)

    async def _posting(self, kind: type[Http], body: Callable[[int], bytes]) -> Cost:
        loop, job = asyncio.get_running_loop(), self._job
        opened = [
            (await loop.create_connection(kind, "127.0.0.1", job.port))[1]
            for _ in range(job.connections)
        ]

        async def run(operations: int) -> None:
            left = iter(range(operations))
            await asyncio.gather(*(keep_posting(n, left) for n in range(job.connections)))

        async def keep_posting(number: int, left: Any) -> None:
            for _ in left:
                await self._timed(opened[number].post(_post(job, body(number))))

        cost = await self.measure(run, job.operations)
        for connection in opened:
            connection.close()
        return cost

    async def broadcast(self) -> Cost:
        """Have the server send events to every connection; the cost is per delivered frame."""
        job = self._job
        sockets = await self.open_many(job.connections)
        audience = _Audience(sockets)
        runs = itertools.count()

        async def run(operations: int) -> None:
            for _ in range(operations):
                await self._timed(audience.hear(self._loud_request(next(runs))))

        await run(3)
        audience.frames = 0
        cost = await self.measure(run, job.operations)
        # The warm-up of `measure` is among the frames; every run makes the same number of them.
        frames_per_run = audience.frames / (job.operations + max(20, job.operations // 10))
        cost.cpu_us /= frames_per_run
        cost.per_s *= frames_per_run
        cost.more["frames_per_receiver"] = frames_per_run / len(sockets)
        for socket in sockets:
            socket.close()
        return cost

    def _loud_request(self, number: int) -> bytes:
        job = self._job
        if not job.token:
            return b'{"type":"req","id":"%d","method":"broadcast","params":%b}' % (
                number,
                bytes(job.params),
            )
        return _chat_send("agent:main:loud", number)

    async def idle(self) -> Cost:
        """Open connections that do nothing, and see how much memory each takes."""
        pid, job = self._job.pid, self._job
        warm = await self.open_many(64)  # what the first connections import and cache
        await asyncio.sleep(0.5)
        before = (resident_kb(pid), private_kb(pid))
        started, cpu = time.perf_counter(), cpu_s(pid)
        sockets = await self.open_many(job.connections)
        opened_s, cpu = time.perf_counter() - started, cpu_s(pid) - cpu
        await asyncio.sleep(1.0)
        after = (resident_kb(pid), private_kb(pid))
        for socket in (*sockets, *warm):
            socket.close()
        each = [(end - start) / job.connections for start, end in zip(before, after, strict=True)]
        return Cost(
            cpu_us=cpu / job.connections * 1e6,
            per_s=job.connections / opened_s,
            more={"kb_each": each[0], "private_kb_each": each[1], "resident_mb": after[0] / 1024},
        )


class _Caller:
    """Keeps `depth` calls in flight on every connection without a task per call."""

    def __init__(self, job: Job, sockets: list[WebSocket], latencies: list[float]) -> None:
        self._job = job
        self._sockets = sockets
        self._latencies = latencies
        self._left = self._outstanding = 0
        self._done = asyncio.Event()
        self._frames = [
            text_frame(
                b'{"type":"req","id":"%d","method":"%b","params":%b}'
                % (number, job.method.encode(), bytes(job.params))
            )
            for number in range(1_000, 1_000 + job.depth)
        ]

    async def check(self) -> None:
        """Make one call by hand, to see that it succeeds."""
        self._sockets[0].send(self._frames[0])
        answer = await self._sockets[0].next()
        while _RESULT not in answer:
            answer = await self._sockets[0].next()
        if not _decode_frame(answer).ok:
            raise RuntimeError(f"{self._job.method} failed: {answer!r}")

    async def run(self, operations: int) -> None:
        """Make so many calls."""
        depth = self._job.depth
        batches = -(-operations // depth)
        self._left = batches
        self._outstanding = 0
        self._done.clear()
        for socket in self._sockets:
            self._begin(socket)
        await self._done.wait()

    def _begin(self, socket: WebSocket) -> None:
        if self._left <= 0:
            if self._outstanding == 0:
                self._done.set()
            return
        self._left -= 1
        self._outstanding += 1
        waiting, started = self._job.depth, time.perf_counter()

        def answered(message: bytes) -> None:
            nonlocal waiting
            if _RESULT not in message[:40]:
                return
            waiting -= 1
            if waiting == 0:
                self._latencies.append(time.perf_counter() - started)
                self._outstanding -= 1
                self._begin(socket)

        socket.on_message = answered
        socket.send(b"".join(self._frames))


class _Talk:
    """Chat runs in many sessions over one connection."""

    def __init__(self, job: Job, socket: WebSocket, latencies: list[float]) -> None:
        self._socket = socket
        self._keys = [f"agent:main:bench{number}" for number in range(job.connections)]
        self._latencies = latencies
        self._started: dict[str, float] = {}
        self._left = 0
        self._sent = 0
        self.finished = self.events = 0
        self._done = asyncio.Event()
        self._failure: str | None = None

    async def run(self, operations: int) -> None:
        """Make so many runs."""
        self._left = operations
        self._done.clear()
        self._socket.on_message = self._heard
        for key in self._keys:
            self._say(key)
        await self._done.wait()
        if self._failure:
            raise RuntimeError(self._failure)

    def _say(self, key: str) -> None:
        if self._left <= 0:
            if not self._started:
                self._done.set()
            return
        self._left -= 1
        self._sent += 1
        self._started[key] = time.perf_counter()
        self._socket.send(text_frame(_chat_send(key, self._sent)))

    def _heard(self, message: bytes) -> None:
        self.events += 1
        if b'"ok":false' in message[:60]:
            self._failure = message.decode()
            self._done.set()
        if b'"state":"final"' not in message or b'"event":"chat"' not in message[:40]:
            return
        key = _decode_event(_decode_frame(message).payload).session_key
        started = self._started.pop(key, None)
        if started is not None:
            self.finished += 1
            self._latencies.append(time.perf_counter() - started)
            self._say(key)


class _Audience:
    """Everybody who hears an event, and when the last has."""

    def __init__(self, sockets: list[WebSocket]) -> None:
        self._sockets = sockets
        self._waiting = 0
        self._done = asyncio.Event()
        self.frames = 0
        for socket in sockets:
            socket.on_message = self._heard

    async def hear(self, request: bytes) -> None:
        """Send a request over the first connection; return when all have heard its end."""
        self._waiting = len(self._sockets)
        self._done.clear()
        self._sockets[0].send(text_frame(request))
        await self._done.wait()

    def _heard(self, message: bytes) -> None:
        if b'"type":"event"' not in message[:20]:
            return
        self.frames += 1
        if b'"state":"final"' in message:
            self._waiting -= 1
            if self._waiting == 0:
                self._done.set()


def _connect_request(job: Job) -> bytes:
    params = {
        "minProtocol": 4,
        "maxProtocol": 4,
        "client": {
            "id": "gateway-client",
            "version": "1",
            "platform": "linux",
            "mode": "backend",
        },
        "role": "operator",
        "scopes": ["operator.admin", "operator.read", "operator.write"],
        "caps": job.caps,
        "auth": {"token": job.token},
    }
    return msgspec.json.encode({"type": "req", "id": "c", "method": "connect", "params": params})


def _chat_send(key: str, number: int) -> bytes:
    return (
        b'{"type":"req","id":"s%d","method":"chat.send","params":{"sessionKey":"%b",'
        b'"message":"How is the weather today?","idempotencyKey":"%b-%d-%d"}}'
    ) % (number, key.encode(), key.encode(), number, _STARTED)


_STARTED = time.time_ns()  # keys of this process are nobody else's


def _message(user: str, number: int) -> bytes:
    message = {
        "channel": "http",
        "from": user,
        "text": "How is the weather today?",
        "message_id": f"{user}-{number}-{_STARTED}",
    }
    return msgspec.json.encode(message)


def _post(job: Job, body: bytes) -> bytes:
    return (
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %b\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    ) % (job.path.encode(), job.token.encode(), len(body), body)


def main() -> None:
    """Do the job in the first argument and print its cost."""
    job = msgspec.json.decode(sys.argv[1], type=Job)
    scenario: Callable[[], Awaitable[Cost]] = getattr(Load(job), job.scenario)

    async def run() -> Cost:
        return await asyncio.wait_for(scenario(), SCENARIO_TIMEOUT_S)

    print(msgspec.json.encode(uvloop.run(run())).decode())


if __name__ == "__main__":
    main()
