"""What an idempotency key promises, on every engine."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from portico.protocol.errors import (
    Forbidden,
    IdempotencyMismatch,
    Outcome,
    Unavailable,
)
from portico.rpc.dispatch import Key
from portico.rpc.idempotency import MAX_ANSWER_BYTES, TTL_MS, StoredIdempotency
from portico.rpc.tables import idempotency
from portico.store import Store, Work, statement
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.anyio
KEY = Key("m", "subject", "k")


class Deed:
    """Something that should happen once."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.runs = 0

    async def __call__(self) -> Any:
        self.runs += 1
        outcome = self.outcomes.pop(0) if self.outcomes else {"run": self.runs}
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def _all_rows() -> Work[int]:
    return len((yield statement(idempotency.select())()))


async def test_repeat_gets_the_first_answer_even_after_a_restart(store: Store):
    clock, work = FakeClock(), Deed()
    first = StoredIdempotency(store, clock)
    assert await first.run(KEY, b"p", work) == {"run": 1}
    second = StoredIdempotency(store, clock)
    again = await second.run(KEY, b"p", work)
    assert msgspec.json.decode(again) == {"run": 1}
    assert work.runs == 1


async def test_other_params_are_refused(store: Store):
    keys, work = StoredIdempotency(store, FakeClock()), Deed()
    await keys.run(KEY, b"p", work)
    with pytest.raises(IdempotencyMismatch):
        await keys.run(KEY, b"q", work)
    await keys.run(Key("m", "other", "k"), b"q", work)
    await keys.run(Key("n", "subject", "k"), b"q", work)


async def test_repeat_while_it_runs_joins(store: Store):
    keys, go, runs = StoredIdempotency(store, FakeClock()), asyncio.Event(), []

    async def work() -> str:
        runs.append(1)
        await go.wait()
        return "done"

    first = asyncio.create_task(keys.run(KEY, b"p", work))
    while not runs:
        await asyncio.sleep(0)
    second = asyncio.create_task(keys.run(KEY, b"p", work))
    with pytest.raises(IdempotencyMismatch):
        await keys.run(KEY, b"q", work)
    go.set()
    assert [await first, await second] == ["done", "done"]
    assert len(runs) == 1


async def test_joined_caller_may_leave_without_hurting_the_others(store: Store):
    keys, go = StoredIdempotency(store, FakeClock()), asyncio.Event()

    async def work() -> str:
        await go.wait()
        return "done"

    first = asyncio.create_task(keys.run(KEY, b"p", work))
    await asyncio.sleep(0)
    second = asyncio.create_task(keys.run(KEY, b"p", work))
    await asyncio.sleep(0)
    second.cancel()
    go.set()
    assert await first == "done"


async def test_refusal_is_remembered_with_all_it_said(store: Store):
    clock = FakeClock()
    work = Deed(Forbidden("no", details={"code": "X"}, retry_after_ms=5, retryable=True))
    for _ in range(2):
        with pytest.raises(Forbidden) as refused:
            await StoredIdempotency(store, clock).run(KEY, b"p", work)
        assert (
            refused.value.shape()
            == Forbidden("no", details={"code": "X"}, retry_after_ms=5, retryable=True).shape()
        )
    assert work.runs == 1


async def test_refusal_before_anything_happened_is_not_remembered(store: Store):
    keys = StoredIdempotency(store, FakeClock())
    work = Deed(Unavailable("busy", outcome=Outcome.NOT_STARTED), "ok")
    with pytest.raises(Unavailable):
        await keys.run(KEY, b"p", work)
    assert await keys.run(KEY, b"p", work) == "ok"


async def test_call_that_the_process_died_in_runs_again(store: Store):
    keys, work = StoredIdempotency(store, FakeClock()), Deed(RuntimeError("died"), "ok")
    with pytest.raises(RuntimeError):
        await keys.run(KEY, b"p", work)
    assert await store.read(_all_rows) == 1  # the key is written down, without an answer
    with pytest.raises(IdempotencyMismatch):
        await keys.run(KEY, b"q", work)
    assert await keys.run(KEY, b"p", work) == "ok"


async def test_cancelled_call_tells_those_who_joined(store: Store):
    keys, running = StoredIdempotency(store, FakeClock()), asyncio.Event()

    async def work() -> None:
        running.set()
        await asyncio.Event().wait()

    first = asyncio.create_task(keys.run(KEY, b"p", work))
    await running.wait()
    second = asyncio.create_task(keys.run(KEY, b"p", work))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(Unavailable, match="interrupted"):
        await second


async def test_answers_are_forgotten_after_a_day_and_pruned(store: Store):
    clock, work = FakeClock(), Deed()
    keys = StoredIdempotency(store, clock)
    await keys.run(KEY, b"p", work)
    clock.advance(TTL_MS)
    assert await keys.run(KEY, b"other params", work) == {"run": 2}
    clock.advance(TTL_MS)
    await keys.run(Key("m", "subject", "k2"), b"p", work)
    assert await store.read(_all_rows) == 1


async def test_number_of_answers_is_bounded(store: Store):
    clock = FakeClock()
    keys = StoredIdempotency(store, clock, max_rows=5)
    for number in range(12):
        clock.advance(61_000)
        await keys.run(Key("m", "s", str(number)), b"p", Deed())
    assert await store.read(_all_rows) <= 6


async def test_a_large_answer_is_given_and_not_kept(store: Store):
    large = "x" * (MAX_ANSWER_BYTES + 1)
    keys, work = StoredIdempotency(store, FakeClock()), Deed(large)
    assert await keys.run(KEY, b"p", work) == large
    assert await keys.run(KEY, b"p", work) == {"run": 2}
