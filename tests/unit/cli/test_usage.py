"""`portico usage`, against a small real gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from portico.cli.commands.usage import bar
from tests.fakes.gateway import TOKEN, FakeGateway, running_gateway

TOTALS = {"totalTokens": 12_345, "totalCost": 1.5, "missingCostEntries": 2}
REPORT: dict[str, Any] = {
    "startDate": "2026-11-15",
    "endDate": "2026-11-21",
    "totals": TOTALS,
    "aggregates": {
        "messages": {"total": 14, "user": 7},
        "daily": [{"date": "2026-11-20", "tokens": 12_345, "cost": 1.5, "messages": 14}],
        "byAgent": [{"agentId": "main", "totals": TOTALS}],
        "byModel": [{"provider": "lab", "model": "m", "totals": {**TOTALS, "totalCost": 0.0123}}],
    },
}
SPENDER = {
    "id": "main",
    "spent": {"tokens": 900, "usd": 0.5},
    "reserved": {"tokens": 100, "usd": 0.0},
    "left": {"tokens": 0},
    "usedPercent": 100.0,
    "state": "exhausted",
}
LIMIT = {
    "scope": "agent",
    "period": "day",
    "timeZone": "UTC",
    "startsAt": 0,
    "resetsAt": 0,
    "tokens": 900,
    "spenders": [SPENDER],
}
TOTAL = {
    "scope": "gateway",
    "period": "total",
    "timeZone": "UTC",
    "startsAt": 0,
    "usd": 5.0,
    "spenders": [{**SPENDER, "id": "", "left": {"usd": 4.5}, "usedPercent": 10.0, "state": "ok"}],
}
NOBODY = {**LIMIT, "scope": "customer", "period": "month", "spenders": []}
BUDGETS = {"updatedAt": 0, "limits": [LIMIT, TOTAL, NOBODY]}


@pytest.fixture
async def gateway(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGateway]:
    answers = {"sessions.usage": REPORT, "budgets.status": BUDGETS}
    async with running_gateway(answers=answers) as fake:
        monkeypatch.setenv("PORTICO_GATEWAY_URL", fake.url)
        monkeypatch.setenv("PORTICO_GATEWAY_TOKEN", TOKEN)
        yield fake


@pytest.fixture
def portico(gateway, portico_async):
    return portico_async


async def test_by_day_agent_and_model(gateway, portico) -> None:
    shown = await portico("usage", "--days", "7", "--agent", "main")
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0] == "2026-11-15 to 2026-11-21: 12,345 tokens, $1.50, 14 messages"
    assert "2 runs have no known price." in lines
    assert "2026-11-20\t12,345\t$1.50\t14" in lines
    assert "main\t12,345\t$1.50" in lines
    assert "lab/m\t12,345\t$0.0123" in lines
    (asked,) = gateway.called("sessions.usage")
    assert (asked["agentId"], asked["limit"]) == ("main", 1)


async def test_budgets_with_bars(gateway, portico) -> None:
    shown = await portico("usage", "--budgets")
    rows = [line.split("\t") for line in shown.out.splitlines()]
    assert rows[0] == ["Budget", "Used", "", "Spent", "Reserved", "Left", "Resets"]
    assert rows[1][:3] == ["agent main per day", "#" * 20, "100% (used up)"]
    assert rows[1][3:6] == ["900 tokens", "100 tokens", "0 tokens"]
    assert rows[2][:6] == [
        "gateway in all",
        "##" + "." * 18,
        "10%",
        "$0.5000",
        "$0.00",
        "$4.50",
    ]
    assert rows[2][6] == "never"
    assert rows[3][:4] == ["customer per month", "." * 20, "0%", "0 tokens"]
    assert gateway.called("sessions.usage") == []


async def test_for_programs(portico) -> None:
    assert (await portico("usage", "--json")).json == {"usage": REPORT, "budgets": BUDGETS}
    assert (await portico("usage", "--budgets", "--json")).json == {"budgets": BUDGETS}


async def test_nothing_used_and_nothing_limited(gateway, portico) -> None:
    gateway.answers["budgets.status"] = {"limits": []}
    assert "No budgets are configured" in (await portico("usage", "--budgets")).out
    nothing = {**REPORT["aggregates"], "daily": []}
    zero = {"totalTokens": 0, "totalCost": 0.0, "missingCostEntries": 0}
    gateway.answers["sessions.usage"] = {**REPORT, "totals": zero, "aggregates": nothing}
    assert len((await portico("usage")).out.splitlines()) == 1
    assert (await portico("usage", "--days", "0")).code == 2


@pytest.mark.parametrize(
    ("percent", "filled"), [(0, 0), (0.1, 1), (50, 10), (99.9, 19), (100, 20), (300, 20)]
)
def test_bars(percent: float, filled: int) -> None:
    assert bar(percent) == "#" * filled + "." * (20 - filled)
