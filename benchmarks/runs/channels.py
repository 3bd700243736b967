"""Channels: a signed message in and its answer posted out; two hundred accounts, half of them bad.

The provider is this process; only what the gateway uses is counted.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from importlib.util import find_spec
from typing import Any

from benchmarks.client import Http
from benchmarks.figures import Figure
from benchmarks.process import Server, cpu_s, resident_kb
from benchmarks.servers import CONFIG, Bench
from portico.channels.webhook.signature import sign
from portico.testkit.http import FakeHttp, Reply, Request

SECRET = "the secret of a benchmark"
APART = {"session": {"dmScope": "per-channel-peer"}}  # as many lanes as people
PATH = "/integrations/webhook/default"
CONNECTIONS = 16
HALF = 100
PATIENCE_S = 60.0


def measure(bench: Bench) -> list[Figure]:
    """Measure both."""
    return [asyncio.run(_answers(bench)), *_crowd(bench)]


class _Partner(FakeHttp):
    """Takes the answers, and knows when each message was posted."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_s: dict[str, float] = {}
        self.waits_s: list[float] = []
        self.done = asyncio.Event()
        self.wanted = 0

    async def answer(self, request: Request) -> Reply:
        self.requests.clear()  # nobody looks at them
        asked_s = self.asked_s.pop(request.json()["replyTo"], None)
        if asked_s is not None:
            self.waits_s.append(time.perf_counter() - asked_s)
        if len(self.waits_s) >= self.wanted:
            self.done.set()
        return Reply.json({})


async def _answers(bench: Bench) -> Figure:
    """Post on 16 connections as 16 people; wait until every answer was posted back."""
    count = 300 if bench.quick else 2_000
    async with _Partner() as partner:
        account = {
            "secret": SECRET,
            "url": f"{partner.url}/in",
            "dmPolicy": "open",
            "allowFrom": ["*"],
        }
        _configure(bench, "answers", {"webhook": account})
        with bench.gateway("answers") as server:
            await _open(server, PATH)
            await _round(server, partner, 100)
            began_kb, began_cpu_s, began_s = resident_kb(server.pid), cpu_s(server.pid), _now()
            await _round(server, partner, count)
            used_s, took_s = cpu_s(server.pid) - began_cpu_s, _now() - began_s
            grown_kb = resident_kb(server.pid) - began_kb
    waits_s = sorted(partner.waits_s)
    return Figure(
        name="webhook message → answer posted, 16 people",
        unit="ms",
        value=used_s / count * 1e3,
        also=f"{count / took_s:,.0f}/s, p50 {waits_s[count // 2] * 1e3:.1f} ms, "
        f"p99 {waits_s[count * 99 // 100] * 1e3:.1f} ms, "
        f"{grown_kb / 1024:.1f} MB more after {count:,}",
    )


async def _round(server: Server, partner: _Partner, count: int) -> None:
    partner.waits_s, partner.wanted = [], count
    partner.done.clear()
    loop = asyncio.get_running_loop()
    numbers = iter(range(count))

    async def keep_posting(person: int) -> None:
        _, connection = await loop.create_connection(Http, "127.0.0.1", server.port)
        for _ in numbers:
            key, request = _post(f"person-{person}")
            partner.asked_s[key] = _now()
            await connection.post(request)
        connection.close()

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(keep_posting(person) for person in range(CONNECTIONS)))
        await partner.done.wait()


_KEYS = itertools.count()


def _post(person: str) -> tuple[str, bytes]:
    key = f"bench-{next(_KEYS)}"
    said = {"from": {"id": person}, "text": "How is the weather today?", "messageId": key}
    body = json.dumps(said).encode()
    signed = sign(SECRET, event_id=key, timestamp_s=int(time.time()), body=body)
    head = {"host": "bench", "content-length": str(len(body)), **signed}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return key, f"POST {PATH} HTTP/1.1\r\n{lines}\r\n".encode() + body


def _crowd(bench: Bench) -> list[Figure]:
    """Start with no account; with a hundred good ones; and with a hundred bad ones besides."""
    good = {f"good{number}": {} for number in range(HALF)}
    bad: dict[str, Any] = {f"bad{number}": {"url": "nowhere"} for number in range(HALF // 2)}
    channels = {"webhook": {"secret": SECRET, "accounts": {**good, **bad}}}
    if find_spec("telegram") is not None:
        deaf = {"apiRoot": "http://127.0.0.1:1"}  # nobody listens there
        bots = {f"bot{number}": {"botToken": f"{number}:x"} for number in range(HALF // 2)}
        channels["telegram"] = {**deaf, "accounts": bots}
    _configure(bench, "alone", {})
    _configure(bench, "good", {"webhook": {"secret": SECRET, "accounts": good}})
    _configure(bench, "crowd", channels)
    found = {name: _started(bench, name) for name in ("alone", "good", "crowd")}
    return [
        Figure(
            name=f"ready with {2 * HALF} accounts, {HALF} of them bad",
            unit="s",
            value=found["crowd"][0],
            baseline=found["alone"][0],
            also=f"baseline: no accounts; {HALF} good ones alone {found['good'][0]:.2f} s",
        ),
        Figure(
            name=f"{HALF} good accounts connected, beside {HALF} bad ones",
            unit="s",
            value=found["crowd"][1],
            baseline=found["good"][1],
            also="after the gateway is ready; baseline: without the bad ones",
        ),
        Figure(
            name=f"resident with {2 * HALF} accounts, {HALF} of them bad",
            unit="MB",
            value=found["crowd"][2] / 1024,
            baseline=found["alone"][2] / 1024,
            also=f"after 5 s; {HALF} good ones alone {found['good'][2] / 1024:.1f} MB",
        ),
    ]


def _started(bench: Bench, name: str) -> tuple[float, float, float]:
    """Return how long it took to be ready and then connected, and the memory some seconds later."""
    with bench.gateway(name):
        pass  # the first start makes the database
    with bench.gateway(name) as server:
        began_s = _now()
        connected_s = 0.0 if name == "alone" else asyncio.run(_all_open(server)) - began_s
        time.sleep(max(0.0, 5.0 - (_now() - began_s)))
        return server.ready_s, connected_s, float(resident_kb(server.pid))


async def _all_open(server: Server) -> float:
    """Return when every good account answers at its door."""
    for number in range(HALF):
        await _open(server, f"/integrations/webhook/good{number}")
    return _now()


async def _open(server: Server, path: str) -> None:
    """Return when an account answers: 401, as nothing is signed."""
    request = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: 0\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            _, connection = await loop.create_connection(Http, "127.0.0.1", server.port)
            try:
                await connection.post(request)
            except ConnectionError as error:
                if " 401 " in str(error):
                    return
            finally:
                connection.close()
            await asyncio.sleep(0.01)


def _configure(bench: Bench, name: str, channels: dict[str, Any]) -> None:
    state = bench.state_dir(name)
    (state / "portico.json").write_text(json.dumps({**CONFIG, **APART, "channels": channels}))


def _now() -> float:
    return time.perf_counter()
