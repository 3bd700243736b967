"""The section `budgets`: what it refuses, and what the gateway makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from portico.budgets.model import Amount, nano
from portico.config import Severity, default_config
from portico.config.checks import startup_issues
from portico.config.issues import ConfigError
from portico.wiring.budgets import budget_plan


def budgets(*limits: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"limits": list(limits), **more}


def test_a_plan() -> None:
    config = default_config(
        budgets=budgets(
            {"scope": "agent", "id": "Main Agent", "tokens": 9000, "warnAt": None},
            {"scope": "session", "id": "main", "usd": 2.5, "timeZone": "Europe/Berlin"},
            {"scope": "session", "period": "total", "tokens": 5000},
            estimateTokens=100,
            estimateUsd=0.25,
            reservationSeconds=60,
        )
    )
    plan = budget_plan(config)
    agent, session, each = plan.limits
    assert (agent.id, agent.period, agent.tokens, agent.warn_at) == (
        "main-agent",
        "day",
        9000,
        None,
    )
    assert (session.id, session.nano_usd, session.zone.key, session.warn_at) == (
        "agent:main:main",
        nano(2.5),
        "Europe/Berlin",
        0.8,
    )
    assert (each.id, each.period, each.nano_usd) == (None, "total", None)
    assert (plan.estimate, plan.reservation_ms) == (Amount(100, nano(0.25)), 60_000)


def test_nothing_is_limited_by_default() -> None:
    assert budget_plan(default_config()).limits == ()


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ([{"scope": "agent"}], "needs tokens or usd"),
        ([{"tokens": 9000}], "scope"),
        ([{"scope": "planet", "tokens": 9000}], "planet"),
        ([{"scope": "agent", "tokens": 0}], "tokens"),
        ([{"scope": "agent", "usd": -1}], "usd"),
        ([{"scope": "gateway", "id": "x", "tokens": 9000}], "there is one gateway"),
        ([{"scope": "session", "id": "agent:", "tokens": 9000}], "malformed session key"),
        ([{"scope": "agent", "tokens": 9000, "timeZone": "Mars/Base"}], "unknown time zone"),
        ([{"scope": "agent", "tokens": 9000, "timeZone": "../../etc"}], "unknown time zone"),
        ([{"scope": "agent", "tokens": 9000, "warnAt": 1.5}], "warnAt"),
        ([{"scope": "agent", "tokens": 9000, "period": "week"}], "period"),
        ([{"scope": "agent", "tokens": 3999}], "less than the 4000"),
        ([{"scope": "agent", "usd": 0.001}], "lower estimateUsd"),
        (2 * [{"scope": "agent", "id": "a", "tokens": 9000}], "two limits for agent a day"),
    ],
)
def test_what_is_refused(limits: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        default_config(budgets={"limits": limits})
    text = str(refused.value)
    assert "budgets" in text
    assert said in text


def test_a_limit_of_an_agent_that_is_not_there_is_pointed_out() -> None:
    config = default_config(
        budgets=budgets(
            {"scope": "agent", "id": "main", "tokens": 9000},
            {"scope": "agent", "id": "nobody", "tokens": 9000},
        )
    )
    found = [issue for issue in startup_issues(config) if issue.code == "budget.agent"]
    assert [(issue.path, issue.severity) for issue in found] == [
        ("budgets.limits[1].id", Severity.WARNING)
    ]
