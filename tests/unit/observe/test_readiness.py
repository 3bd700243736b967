"""Phases and checks."""

from __future__ import annotations

import asyncio

import pytest

from portico.observe import readiness as ours
from portico.observe.readiness import Readiness
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.anyio


async def test_the_phase_comes_first() -> None:
    readiness = Readiness(clock=FakeClock())
    assert await readiness.failing() == ("gateway: starting",)
    readiness.open()
    assert await readiness.failing() == ()
    readiness.drain()
    assert await readiness.failing() == ("gateway: draining",)


async def test_checks_say_why_and_are_kept_for_a_while() -> None:
    clock = FakeClock()
    readiness = Readiness(clock=clock)
    readiness.open()
    asked: list[int] = []

    async def check() -> str | None:
        asked.append(1)
        return "is full"

    readiness.add_check("store", check)
    assert await readiness.failing() == ("store: is full",)
    assert await readiness.failing() == ("store: is full",)
    assert len(asked) == 1
    clock.advance(3_000)
    await readiness.failing()
    assert len(asked) == 2


async def test_a_check_that_hangs_or_breaks_is_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "CHECK_TIMEOUT_S", 0.01)
    readiness = Readiness(clock=FakeClock())
    readiness.open()

    async def hangs() -> str | None:
        await asyncio.Event().wait()
        return None

    async def breaks() -> str | None:
        raise OSError("/secret/path")

    readiness.add_check("a", hangs)
    readiness.add_check("b", breaks)
    first, second = await readiness.failing()
    assert first == "a: no answer within 0.01 s"
    assert second == "b: failing; see the gateway log"
