"""Turns and budgets: reserved before the runtime begins, settled with the end, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from portico.agents.runtime import (
    Abilities,
    AgentEvent,
    Failed,
    Final,
    ModelAnswering,
    ModelUsed,
    TextDelta,
    Turn,
    Usage,
)
from portico.budgets.model import Amount, Limit, Plan
from portico.budgets.service import Budgets
from portico.observe.metrics import Metrics
from portico.sessions import transcript
from portico.sessions.model import Spent
from portico.store import Store
from tests.support.clock import FakeClock
from tests.support.path import FakeChannel, Path, Puppet, Senders, replace_write, rows
from tests.support.waiting import eventually

GATEWAY = Limit(scope="gateway", tokens=100, warn_at=0.8)


def budgets_of(
    store: Store, *limits: Limit, clock: FakeClock | None = None, estimate: int = 60
) -> Budgets:
    return Budgets(
        store=store,
        clock=clock or FakeClock(),
        plan=Plan(limits or (GATEWAY,), Amount(estimate)),
        metrics=Metrics(),
    )


def finish(path: Path, run_id: str, tokens: int) -> None:
    path.puppet.tell(run_id, TextDelta("ok"), ModelUsed(Usage(input=tokens)), Final())


async def spent(store: Store) -> list[tuple[str, str, int]]:
    found = await rows(store, "SELECT scope, subject, tokens FROM budgets_spent ORDER BY 1, 2")
    return [(row["scope"], row["subject"], row["tokens"]) for row in found]


async def held(store: Store) -> list[str]:
    found = await rows(store, "SELECT run_id FROM budgets_reserved ORDER BY run_id")
    return [row["run_id"] for row in found]


async def test_an_answer_is_reserved_for_and_settled(store: Store) -> None:
    clock = FakeClock()
    session = Limit(scope="session", tokens=1000)
    budgets = budgets_of(store, GATEWAY, session, clock=clock)
    async with Path(store, clock=clock, budgets=budgets) as path:
        await path.say("a")
        await path.begun("a")
        assert await held(store) == ["a", "a"]
        finish(path, "a", 30)
        await path.ended("a")
        assert await held(store) == []
        assert await spent(store) == [("gateway", "", 30), ("session", "agent:main:s", 30)]


async def test_of_two_at_once_only_one_slips_under_the_last_tokens(store: Store) -> None:
    channel = FakeChannel()
    budgets = budgets_of(store)
    async with Path(store, budgets=budgets, senders=Senders({"fake": channel})) as path:
        both = [path.say(name, session=name, channel="fake") for name in ("a", "b")]
        await asyncio.gather(*both)
        refused = await eventually(lambda: _failed(path))
        assert refused.result is not None
        assert refused.result.error_kind == "budget"
        assert "held by answers that are being given" in (refused.result.error or "")
        admitted = "b" if refused.run_id == "a" else "a"
        await path.begun(admitted)
        assert path.puppet.order == [admitted]
        finish(path, admitted, 1)
        await path.ended(admitted)
        await eventually(lambda: len(channel.ledger) == 2)  # a clear answer goes out


async def _failed(path: Path) -> Any:
    for name in ("a", "b"):
        row = await path.turns.find(name)
        if row is not None and row.state == "failed":
            return row
    return None


async def test_when_it_is_used_up_the_person_is_told_and_the_operator_once(store: Store) -> None:
    budgets = budgets_of(store)
    with capture_logs() as logs:
        async with Path(store, budgets=budgets) as path:
            for number, tokens in enumerate((39, 45, 40)):
                await path.say(f"r{number}")
                await path.begun(f"r{number}") if number < 2 else None
                finish(path, f"r{number}", tokens)
                await path.ended(f"r{number}")
            assert path.puppet.order == ["r0", "r1"]
            row = await path.ended("r2")
            assert row.result is not None
            assert (row.state, row.result.error_kind, row.result.stop_reason) == (
                "failed",
                "budget",
                "budget",
            )
            assert (row.result.error or "").startswith("The budget for this gateway is used up unt")
            end = path.events.final("r2")
            assert end is not None
            assert (end["state"], end["errorKind"], end["stopReason"]) == (
                "error",
                "rate_limit",
                "budget",
            )
            assert end["errorMessage"] == row.result.error
            assert (await path.transcript())[-1] == ("assistant", "")
            await path.say("r3")
            await path.ended("r3")
    told = [entry["event"] for entry in logs if entry["event"].startswith("budget.")]
    assert told == ["budget.warning", "budget.exhausted"]
    exhausted = next(entry for entry in logs if entry["event"] == "budget.exhausted")
    assert (exhausted["scope"], exhausted["tokens"], exhausted["limit_tokens"]) == (
        "gateway",
        84,
        100,
    )
    assert budgets._metrics.budget_refusals.values == {("gateway",): 2}
    assert budgets._metrics.budget_notices.values == {
        ("warning", "gateway"): 1,
        ("exhausted", "gateway"): 1,
    }


async def test_a_new_day_is_a_new_budget(sqlite_store: Store) -> None:
    clock = FakeClock()
    budgets = budgets_of(sqlite_store, clock=clock)
    async with Path(sqlite_store, clock=clock, budgets=budgets) as path:
        for name, state in (("a", "succeeded"), ("b", "failed")):
            await path.say(name)
            finish(path, name, 100)
            assert (await path.ended(name)).state == state
        clock.advance(86_400)
        await path.say("c")
        finish(path, "c", 100)
        assert (await path.ended("c")).state == "succeeded"


async def test_a_cancelled_turn_is_charged_what_it_used(store: Store) -> None:
    budgets = budgets_of(store)
    async with Path(store, budgets=budgets) as path:
        await path.say("a")
        path.puppet.tell("a", ModelUsed(Usage(input=5, output=1)))
        path.puppet.tell("a", ModelAnswering(lambda chars: Usage(input=20, output=chars)))
        path.puppet.tell("a", TextDelta("half"))
        await eventually(lambda: "delta" in path.events.states("a"))
        assert await path.turns.cancel("a", "rpc")
        await path.ended("a")
        assert (await spent(store), await held(store)) == ([("gateway", "", 30)], [])


async def test_failures_are_charged_too(sqlite_store: Store) -> None:
    budgets = budgets_of(sqlite_store)
    async with Path(sqlite_store, budgets=budgets) as path:
        await path.say("a")
        path.puppet.tell("a", ModelUsed(Usage(output=7)), Failed("no"))
        await path.ended("a")
        await path.say("b")
        path.puppet.tell("b", ModelUsed(Usage(output=7)), RuntimeError("bug"))
        await path.ended("b")
        path.runtimes.timeout_s = 0.05
        await path.say("c")
        path.puppet.tell("c", ModelUsed(Usage(output=7)))
        assert (await path.ended("c")).state == "timed_out"
        assert (await spent(sqlite_store), await held(sqlite_store)) == ([("gateway", "", 21)], [])


class Free(Puppet):
    """A runtime without a model."""

    def __init__(self) -> None:
        super().__init__()
        self.abilities = Abilities(resumable=True, is_metered=False)


async def test_who_uses_no_model_is_refused_only_when_it_is_used_up(store: Store) -> None:
    free = Free()
    budgets = budgets_of(store, estimate=90)
    async with Path(store, runtime=free, budgets=budgets) as path:
        for name, tokens in (("a", 99), ("b", 1)):
            await path.say(name)
            free.tell(name, ModelUsed(Usage(input=tokens)), Final())
            assert (await path.ended(name)).state == "succeeded"
        assert await held(store) == []
        await path.say("c")
        assert (await path.ended("c")).state == "failed"


# -- owners come and go --------------------------------------------------------------------------


async def test_a_crash_leaks_nothing(store: Store) -> None:
    clock = FakeClock()
    budgets = budgets_of(store, clock=clock)
    first = await Path(store, owner="one", clock=clock, budgets=budgets).start()
    await first.say("a")
    await first.begun("a")
    await first.crash()
    assert await held(store) == ["a"]
    async with Path(store, owner="two", clock=clock, budgets=budgets) as second:
        await second.begun("a", attempt=2)
        assert await held(store) == ["a"]
        finish(second, "a", 10)
        await second.ended("a")
        assert (await spent(store), await held(store)) == ([("gateway", "", 10)], [])


async def test_a_run_that_is_not_begun_again_gives_its_reservation_back(store: Store) -> None:
    clock = FakeClock()
    budgets = budgets_of(store, clock=clock)
    runtime = Puppet(resumable=False)
    first = Path(store, owner="one", clock=clock, budgets=budgets, runtime=runtime)
    await first.start()
    await first.say("a")
    await eventually(lambda: runtime.begun("a"))
    await first.crash()
    second = Path(store, owner="two", clock=clock, budgets=budgets, runtime=runtime)
    async with second:
        assert (await second.ended("a")).state == "interrupted"
        assert await held(store) == []


async def test_one_that_waits_to_begin_again_holds_nothing(sqlite_store: Store) -> None:
    budgets = budgets_of(sqlite_store)
    first = await Path(sqlite_store, owner="one", budgets=budgets).start()
    await first.say("a")
    await first.begun("a")
    await first.crash()
    second = Path(sqlite_store, owner="two", clock=first.clock, budgets=budgets)
    second.turns.retire()  # it rescues, and begins nothing
    async with second:
        assert await second.state("a") == "queued"
        assert await held(sqlite_store) == []
        assert await second.turns.cancel("a", "rpc")


async def test_a_zombie_settles_nothing(store: Store) -> None:
    clock = FakeClock()
    budgets = budgets_of(store, clock=clock)
    async with (
        Path(store, owner="one", alone=False, clock=clock, budgets=budgets) as one,
        Path(store, owner="two", alone=False, clock=clock, budgets=budgets) as two,
    ):
        await one.say("a")
        await one.begun("a")
        clock.advance(31)
        await two.sweep()
        await two.begun("a", attempt=2)
        finish(one, "a", 99)
        await eventually(lambda: one.turns.running == 0)
        assert (await spent(store), await held(store)) == ([("gateway", "", 0)], ["a"])
        finish(two, "a", 10)
        await two.ended("a")
        assert (await spent(store), await held(store)) == ([("gateway", "", 10)], [])


# -- the database --------------------------------------------------------------------------------


class Away(Exception):
    pass


@pytest.mark.parametrize("work", ["reserve", "Runner._commit"])
async def test_a_reservation_and_a_settlement_wait_for_the_database(
    store: Store, work: str
) -> None:
    budgets = budgets_of(store)
    async with Path(store, budgets=budgets) as path:
        write, failed = store.write, [0]

        async def failing(asked: Any, *args: Any, **kwargs: Any) -> Any:
            if not asked.__qualname__.startswith(work) or failed[0] == 3:
                return await write(asked, *args, **kwargs)
            failed[0] += 1
            if failed[0] == 3:
                await write(asked, *args, **kwargs)  # only the answer is lost
            raise Away

        replace_write(store, failing)
        await path.say("a")
        finish(path, "a", 10)
        assert (await path.ended("a")).state == "succeeded"
        assert failed == [3]
        assert (await spent(store), await held(store)) == ([("gateway", "", 10)], [])


class Counted:
    """Counts the statements of a store's works."""

    def __init__(self, store: Store) -> None:
        self.count = 0
        self._store = store
        for name in ("write", "read"):
            setattr(store, name, self._counting(getattr(store, name)))

    def _counting(self, run: Any) -> Any:
        async def counting(work: Any, *args: Any, **kwargs: Any) -> Any:
            return await run(lambda: self._count(work(*args, **kwargs)))

        return counting

    def _count(self, work: Any) -> Any:
        answer = None
        while True:
            try:
                query = work.send(answer)
            except StopIteration as end:
                return end.value
            self.count += 1
            answer = yield query


class Quick:
    name = "quick"
    abilities = Abilities(resumable=True)

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        yield ModelUsed(Usage(input=1))
        yield Final("done")


async def statements_of_a_turn(store: Store, budgets: Budgets | None) -> int:
    async with Path(store, runtime=Quick(), budgets=budgets) as path:
        await path.say("first")
        await path.ended("first")
        await path.settled()
        counted = Counted(store)
        await path.say("second")
        await path.ended("second")
        await path.settled()
        return counted.count


async def test_without_budgets_nothing_more_is_asked_of_the_database(sqlite_store: Store) -> None:
    write, read = sqlite_store.write, sqlite_store.read
    found = []
    other_agent = Limit(scope="agent", id="fox", tokens=100)
    for limits in (None, (), (other_agent,), (GATEWAY,)):
        replace_write(sqlite_store, write)
        sqlite_store.read = read  # type: ignore[method-assign]
        made = (
            None
            if limits is None
            else Budgets(store=sqlite_store, clock=FakeClock(), plan=Plan(limits, Amount(60)))
        )
        found.append(await statements_of_a_turn(sqlite_store, made))
        await sqlite_store.write(_forget)
    without, unconfigured, not_due, due = found
    assert without == unconfigured == not_due
    assert due == without + 6  # release, count, held, hold; release, count


def _forget() -> Any:
    from sqlalchemy import text

    from portico.store import statement

    for table in ("turns", "inbox_messages"):
        yield statement(text(f"DELETE FROM {table}").columns())()


async def test_what_is_used_outside_a_turn_counts_and_the_next_turn_tells(store: Store) -> None:
    budgets = budgets_of(store)
    async with Path(store, budgets=budgets) as path:
        await path.say("a")
        finish(path, "a", 10)
        await path.ended("a")
        session = await store.read(transcript.find_session, "agent:main:s")
        assert session is not None
        summary = Spent()
        summary.note(ModelUsed(Usage(input=95), "lab", "m"))
        await store.write(path.turns.record, session, summary)
        assert await spent(store) == [("gateway", "", 105)]
        with capture_logs() as logs:
            await path.say("b")
            assert (await path.ended("b")).state == "failed"
        assert "budget.exhausted" in [entry["event"] for entry in logs]
