"""Reservations and settlements, on both engines."""

from __future__ import annotations

import asyncio
from typing import Any

from portico.budgets import store as budgets
from portico.budgets.model import Amount, Counter, Due, Limit, nano
from portico.budgets.store import Decision
from portico.budgets.windows import Window
from portico.store import Store, open_store
from tests.support.path import rows

NOW = 1_800_000_000_000
LATER = NOW + 60_000
WINDOW = Window(NOW - 1000, NOW + 10**9)


def due(tokens: int = 100, *, scope: Any = "agent", subject: str = "main", **limit: Any) -> Due:
    return Due(Limit(scope=scope, tokens=tokens, **limit), Counter(scope, subject, WINDOW))


async def reserve(
    store: Store, run: str, *dues: Due, estimate: int = 40, now: int = NOW, nano_usd: int = 0
) -> Decision:
    return await store.write(
        budgets.reserve, run, dues, Amount(estimate, nano_usd), now=now, until=now + 60_000
    )


async def settle(store: Store, run: str, *dues: Due, tokens: int, now: int = NOW) -> list[str]:
    told = await store.write(budgets.settle, run, dues, Amount(tokens), now=now)
    return [notice.kind for notice in told]


async def standing(store: Store, one: Due, now: int = NOW) -> tuple[int, int]:
    """(spent, held) tokens."""
    (found,) = await store.read(
        budgets.standings,
        one.counter.scope,
        one.counter.window,
        subject=one.counter.subject,
        count=1,
        now=now,
    )
    return found.spent.tokens, found.held.tokens


async def test_reserved_then_settled(store: Store) -> None:
    one = due(100)
    assert (await reserve(store, "a", one)).refusal is None
    assert await standing(store, one) == (0, 40)
    assert await settle(store, "a", one, tokens=7) == []
    assert await standing(store, one) == (7, 0)


async def test_what_others_hold_is_not_to_be_had(store: Store) -> None:
    one = due(100)
    assert (await reserve(store, "a", one)).refusal is None
    assert (await reserve(store, "b", one)).refusal is None
    third = (await reserve(store, "c", one)).refusal
    assert third is not None
    assert not third.is_spent  # two answers are being given; 20 are left
    await settle(store, "a", one, tokens=5)
    assert (await reserve(store, "c", one)).refusal is None


async def test_a_used_up_budget_is_told_of_once(store: Store) -> None:
    one = due(100, warn_at=0.5)
    await reserve(store, "a", one)
    assert await settle(store, "a", one, tokens=49) == []
    await reserve(store, "b", one)
    assert await settle(store, "b", one, tokens=2) == ["warning"]
    await reserve(store, "c", one)
    assert await settle(store, "c", one, tokens=48) == []
    first = await reserve(store, "d", one)  # 99 of 100: no room for an estimate of 40
    assert first.refusal is not None
    assert first.refusal.is_spent
    assert [notice.kind for notice in first.notices] == ["exhausted"]
    again = await reserve(store, "e", one)
    assert (again.refusal is not None, again.notices) == (True, ())
    raised = due(1000, warn_at=0.5)
    assert (await reserve(store, "e", raised)).refusal is None
    assert await settle(store, "e", raised, tokens=2000) == ["exhausted"]


async def test_a_turn_may_pass_the_limit_by_what_it_used_beyond_its_reservation(
    store: Store,
) -> None:
    one = due(100, warn_at=0.5)
    await reserve(store, "a", one)
    assert await settle(store, "a", one, tokens=500) == ["exhausted"]
    assert await standing(store, one) == (500, 0)
    assert (await reserve(store, "b", one, estimate=0)).refusal is not None


async def test_all_budgets_or_none(store: Store) -> None:
    wide, narrow = due(1000, subject="a"), due(50, scope="gateway", subject="")
    assert (await reserve(store, "a", wide, narrow)).refusal is None
    second = (await reserve(store, "b", wide, narrow)).refusal
    assert second is not None
    assert second.due is narrow
    assert await standing(store, wide) == (0, 40)


async def test_money_counts_for_itself(store: Store) -> None:
    one = due(10**9, nano_usd=nano(1))
    assert (await reserve(store, "a", one, nano_usd=nano(0.6))).refusal is None
    assert (await reserve(store, "b", one, nano_usd=nano(0.6))).refusal is not None
    await store.write(budgets.settle, "a", [one], Amount(1, nano(0.4)), now=NOW)
    assert (await reserve(store, "b", one, nano_usd=nano(0.6))).refusal is None


async def test_a_run_that_begins_again_replaces_its_reservation(store: Store) -> None:
    one = due(100)
    for _ in range(3):
        assert (await reserve(store, "a", one)).refusal is None
    assert await standing(store, one) == (0, 40)
    await store.write(budgets.release, "a")
    assert await standing(store, one) == (0, 0)


async def test_a_reservation_nobody_settles_stops_counting(store: Store) -> None:
    one = due(50)
    await reserve(store, "a", one)
    assert (await reserve(store, "b", one, now=LATER - 1)).refusal is not None
    assert (await reserve(store, "b", one, now=LATER)).refusal is None
    assert await standing(store, one, LATER) == (0, 40)
    # It was not dead, only slow: what it used counts all the same, once.
    assert await settle(store, "a", one, tokens=60, now=LATER) == ["exhausted"]
    assert await settle(store, "b", one, tokens=1, now=LATER) == []
    assert await standing(store, one, LATER) == (61, 0)


async def test_it_is_charged_where_it_was_reserved(store: Store) -> None:
    yesterday = due(100)
    today = Due(yesterday.limit, Counter("agent", "main", Window(WINDOW.ends_at, 2 * 10**13)))
    await reserve(store, "a", yesterday)
    assert await settle(store, "a", today, tokens=100) == []
    assert await standing(store, yesterday) == (100, 0)
    assert await standing(store, today) == (0, 0)


async def test_what_was_never_reserved_is_charged_where_it_is_due(store: Store) -> None:
    one = due(100, warn_at=0.1)
    assert await settle(store, "a", one, tokens=20) == ["warning"]
    assert await settle(store, "b", one, tokens=0) == []
    assert await standing(store, one) == (20, 0)


async def test_looking_reserves_nothing(store: Store) -> None:
    one = due(10)
    assert (await store.read(budgets.look, [one])).refusal is None
    await settle(store, "a", one, tokens=9)
    assert (await store.read(budgets.look, [one])).refusal is None
    await settle(store, "b", one, tokens=1)
    found = (await store.read(budgets.look, [one])).refusal
    assert found is not None
    assert found.is_spent


async def test_those_who_spent_most_come_first(store: Store) -> None:
    for subject, tokens in (("a", 5), ("b", 50), ("c", 20)):
        await settle(store, subject, due(subject=subject), tokens=tokens)
    await reserve(store, "run", due(subject="c"), estimate=3)
    await settle(store, "x", due(scope="session", subject="s"), tokens=99)
    found = await store.read(budgets.standings, "agent", WINDOW, subject=None, count=2, now=NOW)
    assert [(s.counter.subject, s.spent.tokens, s.held.tokens) for s in found] == [
        ("b", 50, 0),
        ("c", 20, 3),
    ]


async def test_reset(store: Store) -> None:
    one = due(10)
    await settle(store, "a", one, tokens=10)
    assert (await reserve(store, "b", one, estimate=5)).refusal is not None
    assert await store.write(budgets.reset, one.counter)
    assert (await reserve(store, "b", one, estimate=5)).refusal is None
    assert not await store.write(budgets.reset, due(subject="nobody").counter)


async def test_forgetting(store: Store) -> None:
    for number in range(5):
        past = Counter("agent", f"a{number}", Window(0, NOW - 1))
        await settle(store, "a", Due(Limit(scope="agent", tokens=9), past), tokens=1)
    await reserve(store, "late", due(1000))
    await reserve(store, "live", due(1000), now=LATER)
    assert await store.write(budgets.forget, before_ms=NOW, count=3) == 3
    assert await store.write(budgets.forget, before_ms=LATER + 1, count=100) == 3
    assert len(await rows(store, "SELECT * FROM budgets_spent")) == 1
    assert len(await rows(store, "SELECT * FROM budgets_reserved")) == 1


async def test_many_at_once_on_two_gateways_do_not_slip_under_the_limit(
    store: Store, database_url: str
) -> None:
    """30 ask at the same time for 10 places; the counters are asked in every order."""
    other = open_store(database_url)
    await other.start()
    try:
        shared, own = due(400, scope="gateway", subject=""), due(10**6)
        asked = [
            reserve((store, other)[number % 2], f"r{number}", own, shared) for number in range(30)
        ]
        decisions = await asyncio.gather(*asked)
        assert sum(decision.refusal is None for decision in decisions) == 10
        assert await standing(store, shared) == (0, 400)
    finally:
        await other.stop()
