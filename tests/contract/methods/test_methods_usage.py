"""`usage.*`, `sessions.usage*` and `budgets.*`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from portico.agents.runtime import (
    Abilities,
    AgentEvent,
    Failed,
    Final,
    ModelUsed,
    TextDelta,
    ToolFinished,
    ToolStarted,
    Turn,
    Usage,
)
from portico.agents.service import Agent
from portico.budgets.model import Amount, Limit, Plan, nano
from tests.contract.shapes import Number, misfits
from tests.support.house import House, open_house, principal

COUNTS = dict.fromkeys(("total", "user", "assistant", "toolCalls", "toolResults", "errors"), int)
TOOLS = {"totalCalls": int, "uniqueTools": int, "tools": [{"name": str, "count": int}]}
LATENCY = dict.fromkeys(("count", "avgMs", "p95Ms", "minMs", "maxMs"), Number)
TOTALS = dict.fromkeys(
    (
        *("input", "output", "cacheRead", "cacheWrite", "totalTokens", "totalCost"),
        *("inputCost", "outputCost", "cacheReadCost", "cacheWriteCost", "missingCostEntries"),
    ),
    Number,
)
MODEL = {"provider": str, "model": str, "count": int, "totals": TOTALS}
REPORT = {
    "updatedAt": int,
    "startDate": str,
    "endDate": str,
    "totals": TOTALS,
    "cacheStatus": {"status": str},
    "creatorOptions": [dict],
    "sessions": [
        {
            "key": str,
            "sessionId?": str,
            "agentId?": str,
            "channel?": str,
            "updatedAt": int,
            "modelProvider": str,
            "model": str,
            "usage": {
                **TOTALS,
                "firstActivity": int,
                "lastActivity": int,
                "durationMs": int,
                "activityDates": [str],
                "dailyBreakdown": [{"date": str, "tokens": int, "cost": Number}],
                "messageCounts": COUNTS,
                "toolUsage": TOOLS,
                "modelUsage": [MODEL],
                "latency": LATENCY,
            },
        }
    ],
    "aggregates": {
        "messages": COUNTS,
        "tools": TOOLS,
        "byModel": [MODEL],
        "byProvider": [{"provider": str, "count": int, "totals": TOTALS}],
        "byAgent": [{"agentId": str, "totals": TOTALS}],
        "byChannel": [{"channel": str, "totals": TOTALS}],
        "daily": [{"date": str, "tokens": int, "cost": Number, "messages": int, "toolCalls": int}],
        "modelDaily": [{"date": str, "provider": str, "model": str, "tokens": int, "cost": Number}],
        "dailyLatency": [{"date": str, **LATENCY}],
        "latency": LATENCY,
    },
}
POINT = dict.fromkeys(
    (
        *("timestamp", "input", "output", "cacheRead", "cacheWrite", "totalTokens", "cost"),
        *("cumulativeTokens", "cumulativeCost"),
    ),
    Number,
)


class Busy:
    """Looks twice, answers, and has a price; fails when it is told to."""

    name = "busy"
    abilities = Abilities(resumable=True)

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        for number in range(2):
            yield ToolStarted(f"t{number}", "look", {}, side_effects=False)
            yield ToolFinished(f"t{number}", "look", "seen")
        yield ModelUsed(Usage(input=6, output=4, cost_usd=0.5), "lab", "m")
        if turn.request.text == "fail":
            yield Failed("No.")
            return
        yield TextDelta("done")
        yield Final()


async def fails(house: House, key: str, text: str, run_id: str) -> Any:
    """Send a message whose run fails; return the error."""
    early: list[Any] = []
    params = {"sessionKey": key, "message": text, "idempotencyKey": run_id}
    return await house.refusal("agent", params, early=early)


def plan(*limits: Limit) -> Plan:
    return Plan(limits, Amount(10, nano(0.1)))


AGENTS = [Agent("main", Busy()), Agent("fox", Busy())]
LIMITS = plan(
    Limit(scope="agent", tokens=30, warn_at=0.5),
    Limit(scope="agent", id="fox", tokens=1000),
    Limit(scope="gateway", period="total", nano_usd=nano(2)),
    Limit(scope="customer", period="month", tokens=10),
)


@pytest.fixture
async def busy(tmp_path: Path, database_url: str) -> AsyncIterator[House]:
    opened = open_house(tmp_path, url=database_url, agents=[*AGENTS], budgets=LIMITS)
    async with opened as house:
        yield house


async def test_the_whole_report(busy: House) -> None:
    await busy.say("agent:main:w1", "one", "k1")
    await busy.say("agent:main:w1", "two", "k2")
    assert (await fails(busy, "agent:fox:w2", "fail", "k3"))["message"] == "No."
    report = await busy.call("sessions.usage", {})
    assert misfits(REPORT, report) == []
    assert report["aggregates"]["messages"] == {
        "total": 5,
        "user": 3,
        "assistant": 2,
        "toolCalls": 6,
        "toolResults": 6,
        "errors": 1,
    }
    assert report["aggregates"]["tools"]["tools"] == [{"name": "look", "count": 6}]
    assert [one["provider"] for one in report["aggregates"]["byProvider"]] == ["lab"]
    assert report["aggregates"]["byProvider"][0]["totals"] == report["totals"]
    assert report["totals"]["totalCost"] == 1.5
    by_key = {one["key"]: one["usage"] for one in report["sessions"]}
    assert by_key["agent:main:w1"]["dailyBreakdown"][0]["tokens"] == 20
    assert by_key["agent:fox:w2"]["messageCounts"]["errors"] == 1
    fox = await busy.call("usage.cost", {"agentId": "fox", "days": 1})
    assert (fox["days"], fox["totals"]["totalTokens"]) == (1, 10)


async def test_one_session_over_time(busy: House) -> None:
    for number in range(3):
        await busy.say("w1", f"message {number}", f"k{number}")
    series = await busy.call("sessions.usage.timeseries", {"key": "w1"})
    assert misfits({"sessionId": str, "points": [POINT]}, series) == []
    assert [point["cumulativeTokens"] for point in series["points"]] == [10, 20, 30]
    assert series["points"][-1]["cumulativeCost"] == 1.5
    logs = await busy.call("sessions.usage.logs", {"key": "w1"})
    shape = {"logs": [{"timestamp": int, "role": str, "content": str, "tokens?": int}]}
    assert misfits(shape, logs) == []
    said = [(entry["role"], entry["content"], entry.get("tokens")) for entry in logs["logs"]]
    assert said[:4] == [
        ("user", "message 0", None),
        ("toolResult", "seen", None),
        ("toolResult", "seen", None),
        ("assistant", "done", 10),
    ]
    few = await busy.call("sessions.usage.logs", {"key": "w1", "limit": 1})
    assert few["logs"] == logs["logs"][-1:]
    assert await busy.call("sessions.usage.timeseries", {"key": "nobody"}) == {"points": []}
    assert await busy.call("sessions.usage.logs", {"key": "nobody"}) == {"logs": []}
    await busy.call("sessions.reset", {"key": "w1"})
    assert (await busy.call("sessions.usage.timeseries", {"key": "w1"}))["points"] == []


def by_scope(report: Any) -> dict[tuple[str, str | None], Any]:
    return {(one["scope"], one.get("id")): one for one in report["limits"]}


async def test_budgets_as_they_stand(busy: House) -> None:
    await busy.say("agent:main:w1", "one", "k1")
    await busy.say("agent:main:w1", "two", "k2")
    await busy.say("agent:fox:w2", "three", "k3")
    report = await busy.call("budgets.status", {})
    assert report["estimate"] == {"tokens": 10, "usd": 0.1}
    found = by_scope(report)
    general, fox = found["agent", None], found["agent", "fox"]
    assert (general["tokens"], general["period"], general["timeZone"]) == (30, "day", "UTC")
    assert general["resetsAt"] - general["startsAt"] == 86_400_000
    (main,) = general["spenders"]
    assert main == {
        "id": "main",
        "spent": {"tokens": 20, "usd": 1.0},
        "reserved": {"tokens": 0, "usd": 0.0},
        "left": {"tokens": 10},
        "usedPercent": 66.67,
        "state": "warning",
    }
    assert [one["id"] for one in fox["spenders"]] == ["fox"]
    (gateway,) = found["gateway", None]["spenders"]
    assert (gateway["id"], gateway["left"], gateway["usedPercent"]) == ("", {"usd": 0.5}, 75.0)
    assert "resetsAt" not in found["gateway", None]
    assert found["customer", None]["spenders"] == []


async def test_usage_status_shows_budgets_in_the_shape_of_a_provider(busy: House) -> None:
    await busy.say("agent:main:w1", "one", "k1")
    status = await busy.call("usage.status", {})
    window = {"label": str, "usedPercent": Number, "resetAt?": int}
    shape = {
        "updatedAt": int,
        "providers": [{"provider": str, "displayName": str, "windows": [window]}],
    }
    assert misfits(shape, status) == []
    (budgets,) = status["providers"]
    labels = [one["label"] for one in budgets["windows"]]
    assert labels == ["agent main per day", "agent fox per day", "gateway in all"]


async def test_a_used_up_budget_over_the_websocket_and_its_reset(busy: House) -> None:
    watcher = busy.connect()
    key = "agent:main:w1"
    await busy.call("sessions.messages.subscribe", {"key": key}, over=watcher)
    for number in range(3):
        await busy.say(key, "one", f"k{number}")
    refused = await fails(busy, key, "one more", "k3")
    assert refused["message"].startswith("The budget for this agent is used up until ")
    end = next(e for e in watcher.named("chat") if e["runId"] == "k3" and e["state"] == "error")
    assert end["errorMessage"].startswith("The budget for this agent is used up until ")
    assert (end["errorKind"], end["stopReason"]) == ("rate_limit", "budget")
    with capture_logs() as logs:
        done = await busy.call("budgets.reset", {"scope": "agent", "id": "main"})
    assert done == {"ok": True, "reset": True}
    (told,) = (entry for entry in logs if entry["event"] == "budget.reset")
    assert (told["id"], told["by"]) == ("main", "tester")
    assert (await busy.say(key, "again", "k4"))["status"] == "ok"
    untouched = {"scope": "customer", "id": "acme", "period": "month"}
    assert await busy.call("budgets.reset", untouched) == {"ok": True, "reset": False}


async def test_what_cannot_be_reset(busy: House) -> None:
    for wrong in (
        {"scope": "agent"},
        {"scope": "gateway", "id": "x", "period": "total"},
        {"scope": "gateway"},
        {"scope": "session", "id": "agent:main:main"},
        {"scope": "planet", "id": "x"},
    ):
        assert (await busy.refusal("budgets.reset", wrong))["code"] == "INVALID_REQUEST"
    reader = principal("operator.read")
    refused = await busy.refusal("budgets.reset", {"scope": "agent", "id": "main"}, by=reader)
    assert "operator.admin" in refused["message"]
    assert await busy.call("budgets.status", {}, by=reader)
