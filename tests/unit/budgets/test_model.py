"""Who spends, which limits are due, what a refusal says."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from portico.agents.runtime import Usage
from portico.budgets.model import (
    Amount,
    Counter,
    Due,
    Limit,
    Plan,
    Refusal,
    Spender,
    nano,
    subjects_of,
    window_of,
)

NOW = 1_795_266_000_000  # 2026-11-21 13:00 UTC


def spender(key: str = "agent:main:main", **who: str) -> Spender:
    given = {"run_id": "r", "agent_id": "main", "channel": "webchat", **who}
    return Spender(session_key=key, **given)  # type: ignore[arg-type]  # strings all


@pytest.mark.parametrize(
    ("key", "customer", "job"),
    [
        ("agent:main:main", None, None),
        ("agent:main:customer:c%3A1:telegram:default:direct:7", "c:1", None),
        ("agent:main:customer:acme:main", "acme", None),
        ("agent:main:cron:daily-news", None, "daily-news"),
        ("agent:main:cron:daily:run:3", None, "daily"),
        ("agent:main:customer:acme:cron:daily", "acme", "daily"),
        ("customer:acme:main", "acme", None),
        ("agent:main:telegram:group:customer:x", None, None),
        ("agent:main:cron", None, None),
        ("global", None, None),
    ],
)
def test_customers_and_jobs_are_in_the_session_key(
    key: str, customer: str | None, job: str | None
) -> None:
    found = subjects_of(spender(key))
    assert (found.get("customer"), found.get("job")) == (customer, job)
    assert (found["gateway"], found["agent"], found["session"], found["channel"]) == (
        "",
        "main",
        key,
        "webchat",
    )


def test_amounts() -> None:
    used = Usage(input=3, output=4, cache_read=2, cache_write=1, context=6, cost_usd=0.0000015)
    assert Amount.of(used) == Amount(10, 1500)
    assert Amount(1, 2) + Amount(3, 4) == Amount(4, 6)
    assert not Amount()


def due(plan: Plan, **who: str) -> list[tuple[str, str | None, str]]:
    return [(d.limit.scope, d.limit.id, d.counter.subject) for d in plan.due(spender(**who), NOW)]


def test_a_limit_with_an_id_stands_in_for_the_general_one() -> None:
    plan = Plan(
        (
            Limit(scope="agent", id="fox", tokens=9),
            Limit(scope="agent", tokens=1),
            Limit(scope="agent", period="month", tokens=5),
            Limit(scope="gateway", tokens=100),
            Limit(scope="channel", id="telegram", tokens=3),
            Limit(scope="customer", tokens=3),
        )
    )
    general = [("agent", None, "main"), ("agent", None, "main"), ("gateway", None, "")]
    assert due(plan) == general
    assert due(plan, agent_id="fox", channel="telegram") == [
        ("agent", None, "fox"),
        ("agent", "fox", "fox"),
        ("channel", "telegram", "telegram"),
        ("gateway", None, ""),
    ]
    assert Plan().due(spender(), NOW) == []


def test_limits_are_locked_in_one_order() -> None:
    limits = (
        Limit(scope="session", tokens=1),
        Limit(scope="gateway", period="month", tokens=1),
        Limit(scope="agent", tokens=1),
        Limit(scope="gateway", period="day", tokens=1),
    )
    found = [d.counter for d in Plan(limits).due(spender(), NOW)]
    assert found == sorted(found)
    assert found == [d.counter for d in Plan(limits[::-1]).due(spender(), NOW)]


def test_shares() -> None:
    both = Limit(scope="gateway", tokens=100, nano_usd=nano(1))
    assert both.share(Amount(50, nano(0.25))) == 0.5
    assert both.share(Amount(50, nano(0.75))) == 0.75
    assert both.has_room(Amount(100, nano(1)))
    assert not both.has_room(Amount(101, 0))
    assert not both.has_room(Amount(0, nano(1) + 1))
    assert Limit(scope="gateway", tokens=10).has_room(Amount(10, nano(10**6)))


def refusal(limit: Limit, *, is_spent: bool = True) -> str:
    counter = Counter(limit.scope, "secret-id", window_of(limit, NOW))
    return Refusal(Due(limit, counter), is_spent).sentence()


def test_what_the_person_is_told() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert refusal(Limit(scope="agent", tokens=1)) == (
        "The budget for this agent is used up until 22 November 2026, 00:00 (UTC)."
    )
    assert refusal(Limit(scope="customer", period="month", zone=berlin, tokens=1)) == (
        "The budget for this account is used up until 1 December 2026, 00:00 (Europe/Berlin)."
    )
    assert refusal(Limit(scope="session", period="total", tokens=1)) == (
        "The budget for this conversation is used up. The operator can raise it."
    )
    held = refusal(Limit(scope="gateway", tokens=1), is_spent=False)
    assert "held by answers that are being given" in held
    assert "secret-id" not in held
