"""Channels: a signed message in and its answer posted out; two hundred accounts, half of them bad.

The provider is this process; only what the gateway uses is counted.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
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
LATER_S = 5.0


def measure(bench: Bench) -> list[Figure]:
    """Measure both."""
    return [asyncio.run(_answers(bench)), *_crowd(bench)]


class Partner(FakeHttp):
    """Takes the answers, and knows when each message was posted."""

    def __init__(self) -> None:
        super().__init__()
        self.waits_s: list[float] = []
        self._asked: dict[str, tuple[float, asyncio.Future[None]]] = {}

    def expect(self, key: str) -> asyncio.Future[None]:
        """Return what is done when a message was answered that is posted now."""
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked[key] = (_now(), answered)
        return answered

    async def answer(self, request: Request) -> Reply:
        """Take an answer of the gateway."""
        self.requests.clear()  # nobody looks at them
        asked = self._asked.pop(request.json()["replyTo"], None)
        if asked is not None:
            self.waits_s.append(_now() - asked[0])
            asked[1].set_result(None)
        return Reply.json({})


async def _answers(bench: Bench) -> Figure:
    """Post as 16 people, each of whom waits for the answer before writing again."""
    count = 300 if bench.quick else 2_000
    async with Partner() as partner:
        configure(bench, "answers", {"webhook": partner_account(partner)})
        with bench.gateway("answers") as server:
            await until_open(server, PATH)
            await ask(server, partner, 100)
            began_kb, began_cpu_s, began_s = resident_kb(server.pid), cpu_s(server.pid), _now()
            await ask(server, partner, count)
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


def partner_account(partner: Partner) -> dict[str, Any]:
    """Return the settings of an account everybody may write to."""
    shared = {"secret": SECRET, "dmPolicy": "open", "allowFrom": ["*"]}
    return {**shared, "url": f"{partner.url}/in"}


async def ask(
    server: Server,
    partner: Partner,
    count: int,
    *,
    doors: Sequence[str] = (PATH,),
    people: int = CONNECTIONS,
    patience_s: float = PATIENCE_S,
) -> float:
    """Let people write, each of whom waits for the answer first; return how long it took."""
    partner.waits_s = []
    loop = asyncio.get_running_loop()
    numbers = iter(range(count))
    began_s = _now()

    async def keep_asking(person: int) -> None:
        _, connection = await loop.create_connection(Http, "127.0.0.1", server.port)
        for _ in numbers:
            key, request = _post(f"person-{person}", doors[person * 7 % len(doors)])
            answered = partner.expect(key)
            await connection.post(request)
            await answered
        connection.close()

    async with asyncio.timeout(patience_s):
        await asyncio.gather(*(keep_asking(person) for person in range(people)))
    return _now() - began_s


_KEYS = itertools.count()


def _post(person: str, path: str) -> tuple[str, bytes]:
    key = f"bench-{next(_KEYS)}"
    said = {"from": {"id": person}, "text": "How is the weather today?", "messageId": key}
    body = json.dumps(said).encode()
    signed = sign(SECRET, event_id=key, timestamp_s=int(time.time()), body=body)
    head = {"host": "bench", "content-length": str(len(body)), **signed}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return key, f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


class _Ills(FakeHttp):
    """A Bot API that knows some tokens no more, and says nothing to others."""

    async def answer(self, request: Request) -> Reply:
        self.requests.clear()
        if request.path.startswith("/bot1"):
            return Reply.json({"ok": False, "error_code": 401, "description": "Unauthorized"}, 401)
        await asyncio.Event().wait()
        raise AssertionError


def _crowd(bench: Bench) -> list[Figure]:
    """Start with no account; with a hundred good ones; and with a hundred bad ones besides."""
    return asyncio.run(_beside_bad_ones(bench))


async def _beside_bad_ones(bench: Bench) -> list[Figure]:
    async with Partner() as partner, _Ills() as ills:
        good = {f"good{number}": {"url": f"{partner.url}/in"} for number in range(HALF)}
        shared = {"secret": SECRET, "dmPolicy": "open", "allowFrom": ["*"]}
        crowd = {"webhook": {**shared, "accounts": good | _misconfigured()}, **_ill_bots(ills.url)}
        configure(bench, "alone", {})
        configure(bench, "good", {"webhook": {**shared, "accounts": good}})
        configure(bench, "crowd", crowd)
        found = {name: await _started(bench, name, partner) for name in ("alone", "good", "crowd")}
    alone, good_ones, all_ = found["alone"], found["good"], found["crowd"]
    return [
        Figure(
            name=f"ready with {2 * HALF} accounts, {HALF} of them bad",
            unit="s",
            value=all_.ready_s,
            baseline=alone.ready_s,
            also=f"baseline: no accounts; {HALF} good ones alone {good_ones.ready_s:.2f} s",
        ),
        Figure(
            name=f"{HALF} good accounts connected, beside {HALF} bad ones",
            unit="s",
            value=all_.connected_s,
            baseline=good_ones.connected_s,
            also="after the gateway is ready; baseline: without the bad ones",
        ),
        Figure(
            name=f"message answered by a good account, beside {HALF} bad ones, p50",
            unit="ms",
            value=all_.wait_s * 1e3,
            baseline=good_ones.wait_s * 1e3,
            also=f"p99 {all_.longest_wait_s * 1e3:.1f} ms, "
            f"without them {good_ones.longest_wait_s * 1e3:.1f} ms; 16 at a time",
        ),
        Figure(
            name=f"resident with {2 * HALF} accounts, {HALF} of them bad",
            unit="MB",
            value=all_.resident_kb / 1024,
            baseline=alone.resident_kb / 1024,
            also=f"{HALF} good ones alone {good_ones.resident_kb / 1024:.1f} MB; "
            f"{all_.later_kb / 1024 - all_.resident_kb / 1024:+.1f} MB after {LATER_S:g} s more, "
            f"CPU then {all_.idle_share:.1%}",
        ),
    ]


def _misconfigured() -> dict[str, Any]:
    count = HALF // 4 if find_spec("telegram") is not None else HALF
    return {f"bad{number}": {"url": "nowhere"} for number in range(count)}


def _ill_bots(url: str) -> dict[str, Any]:
    """A quarter refused, a quarter with a token nobody knows, a quarter never answered."""
    if find_spec("telegram") is None:
        return {}
    kinds = (("1", url), ("2", url), ("3", "http://127.0.0.1:1"))
    bots = {
        f"bot{kind}-{number}": {"botToken": f"{kind}{number:02}:x", "apiRoot": root}
        for kind, root in kinds
        for number in range(HALF // 4)
    }
    return {"telegram": {"accounts": bots}}


@dataclass(frozen=True, slots=True)
class _Found:
    """What was seen of a gateway that has started."""

    ready_s: float
    connected_s: float
    wait_s: float
    longest_wait_s: float
    resident_kb: int
    later_kb: int
    idle_share: float


async def _started(bench: Bench, name: str, partner: Partner) -> _Found:
    """Return how long it took to be ready and then connected, how it answers, and its memory."""
    with bench.gateway(name):
        pass  # the first start makes the database
    with bench.gateway(name) as server:
        began_s = _now()
        if name == "alone":
            connected_s, waits_s = 0.0, [0.0]
        else:
            connected_s = await _all_open(server) - began_s
            doors = [f"/integrations/webhook/good{number}" for number in range(HALF)]
            await ask(server, partner, 600, doors=doors)
            waits_s = sorted(partner.waits_s)
        await asyncio.sleep(max(0.0, 8.0 - (_now() - began_s)))
        resident, used_s = resident_kb(server.pid), cpu_s(server.pid)
        await asyncio.sleep(LATER_S)
        share = (cpu_s(server.pid) - used_s) / LATER_S
        return _Found(
            server.ready_s,
            connected_s,
            waits_s[len(waits_s) // 2],
            waits_s[len(waits_s) * 99 // 100],
            resident,
            resident_kb(server.pid),
            share,
        )


async def _all_open(server: Server) -> float:
    """Return when every good account answers at its door."""
    for number in range(HALF):
        await until_open(server, f"/integrations/webhook/good{number}")
    return _now()


async def until_open(server: Server, path: str) -> None:
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


def configure(bench: Bench, name: str, channels: dict[str, Any]) -> None:
    """Write the configuration of a state directory: these channels."""
    state = bench.state_dir(name)
    (state / "portico.json").write_text(json.dumps({**CONFIG, **APART, "channels": channels}))


def _now() -> float:
    return time.perf_counter()
