from __future__ import annotations

import asyncio
from typing import Any

from portico.node_host.ledger import BUSY, CANCELLED, FORGOTTEN, LARGE_BYTES, Ledger
from portico.node_host.model import InvokeRequest, Outcome


class Work:
    """Something to carry out: counts how often, and waits for `go`."""

    def __init__(self, payload: Any = "done") -> None:
        self.times = 0
        self.go = asyncio.Event()
        self.payload = payload

    async def __call__(self) -> Outcome:
        self.times += 1
        await self.go.wait()
        return Outcome(payload=self.payload)


def request(invoke_id: str, **more: Any) -> InvokeRequest:
    return InvokeRequest(id=invoke_id, command="system.run", **more)


async def test_a_repeat_of_one_that_runs_waits_for_its_end() -> None:
    ledger, work = Ledger(most_running=4), Work()
    first = asyncio.ensure_future(ledger.run(request("a"), work))
    second = asyncio.ensure_future(ledger.run(request("a"), work))
    await asyncio.sleep(0)
    work.go.set()
    assert await first == (Outcome(payload="done"), False)
    assert await second == (Outcome(payload="done"), True)
    assert work.times == 1


async def test_a_repeat_of_one_that_ended_gets_the_same() -> None:
    ledger, work = Ledger(most_running=4), Work()
    work.go.set()
    asked = {"idempotency_key": "k", "params_json": "{}"}
    await ledger.run(request("a", **asked), work)
    assert await ledger.run(request("b", **asked), work) == (Outcome(payload="done"), True)
    assert work.times == 1


async def test_one_key_with_other_parameters_is_another_request() -> None:
    ledger, work = Ledger(most_running=4), Work()
    work.go.set()
    await ledger.run(request("a", idempotency_key="k", params_json='{"n":1}'), work)
    await ledger.run(request("b", idempotency_key="k", params_json='{"n":2}'), work)
    assert work.times == 2


async def test_one_too_many_is_refused_and_may_come_again() -> None:
    ledger, work = Ledger(most_running=1), Work()
    first = asyncio.ensure_future(ledger.run(request("a"), work))
    await asyncio.sleep(0)
    assert await ledger.run(request("b"), work) == (BUSY, False)
    work.go.set()
    await first
    assert await ledger.run(request("b"), work) == (Outcome(payload="done"), False)


async def test_a_cancelled_one_is_not_run_again() -> None:
    ledger, work = Ledger(most_running=1), Work()
    first = asyncio.ensure_future(ledger.run(request("a"), work))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert await ledger.run(request("a"), work) == (CANCELLED, True)
    assert (work.times, ledger.running) == (1, 0)


async def test_a_large_answer_is_not_kept_but_not_run_again() -> None:
    ledger, work = Ledger(most_running=1), Work("x" * (LARGE_BYTES + 1))
    work.go.set()
    outcome, _ = await ledger.run(request("a"), work)
    assert outcome.payload == work.payload
    assert await ledger.run(request("a"), work) == (FORGOTTEN, True)
    assert work.times == 1
