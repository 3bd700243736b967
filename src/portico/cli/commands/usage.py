"""`portico usage`: what was used, and how the budgets stand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from cyclopts import Parameter, validators

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode
from portico.cli.output import duration, print_json, print_table
from portico.cli.target import connected
from portico.clock import SystemClock

BAR_WIDTH: Final = 20
MAX_DAYS: Final = 3_660


@command("usage")
async def usage(
    *,
    days: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=MAX_DAYS))] = 30,
    agent: str | None = None,
    budgets: bool = False,
    to: Remote = THERE,
) -> int:
    """Show what was used: by day, agent and model, and how the budgets stand.

    Days begin at midnight UTC.

    Args:
        days: So many days, today included. [default: 30]
        agent: Only what this agent used.
        budgets: Only the budgets.

    Examples:
        portico usage
        portico usage --days 7 --agent main --json
        portico usage --budgets
    """
    async with connected(to) as client:
        found: dict[str, Any] = {}
        if not budgets:
            asked = _asked(days, agent)
            found["usage"] = await client.request("sessions.usage", asked, timeout_s=to.timeout_s)
        found["budgets"] = await client.request("budgets.status", {}, timeout_s=to.timeout_s)
    if to.json:
        print_json(found)
        return ExitCode.OK
    if not budgets:
        _print_usage(found["usage"])
    _print_budgets(found["budgets"], alone=budgets)
    return ExitCode.OK


def _asked(days: int, agent: str | None) -> dict[str, Any]:
    today = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC).date()
    first = today - timedelta(days=days - 1)
    asked: dict[str, Any] = {
        "startDate": first.isoformat(),
        "endDate": today.isoformat(),
        "limit": 1,
    }
    return asked if agent is None else {**asked, "agentId": agent}


def _print_usage(report: Mapping[str, Any]) -> None:
    sums, totals = report["aggregates"], report["totals"]
    said = sums["messages"]["total"]  # questions and answers, as in the table
    print(
        f"{report['startDate']} to {report['endDate']}: {totals['totalTokens']:,} tokens, "
        f"{_usd(totals['totalCost'])}, {said:,} message{'' if said == 1 else 's'}"
    )
    if totals["missingCostEntries"]:
        runs = totals["missingCostEntries"]
        print(f"{runs:,} {'run has' if runs == 1 else 'runs have'} no known price.")
    if not sums["daily"]:
        return
    daily = [
        (one["date"], f"{one['tokens']:,}", _usd(one["cost"]), one["messages"])
        for one in sums["daily"]
    ]
    _section(("Day", "Tokens", "Cost", "Messages"), daily)
    agents = [(one["agentId"], *_total(one)) for one in sums["byAgent"]]
    _section(("Agent", "Tokens", "Cost"), agents)
    models = [(f"{one['provider']}/{one['model']}", *_total(one)) for one in sums["byModel"]]
    _section(("Model", "Tokens", "Cost"), models)


def _section(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    print()
    print_table(columns, rows)


def _total(one: Mapping[str, Any]) -> tuple[str, str]:
    return f"{one['totals']['totalTokens']:,}", _usd(one["totals"]["totalCost"])


def _print_budgets(report: Mapping[str, Any], *, alone: bool) -> None:
    if not report["limits"]:
        if alone:
            print("No budgets are configured. Set them under budgets.limits: docs/budgets.md")
        return
    now_ms = SystemClock().now_ms()
    rows = [
        _budget(limit, spender, now_ms)
        for limit in report["limits"]
        for spender in limit["spenders"] or (None,)
    ]
    if not alone:
        print()
    print_table(("Budget", "Used", "", "Spent", "Reserved", "Left", "Resets"), rows)


def _budget(
    limit: Mapping[str, Any], spender: Mapping[str, Any] | None, now_ms: int
) -> tuple[Any, ...]:
    who = limit["scope"] if spender is None else f"{limit['scope']} {spender['id']}".strip()
    name = f"{who} per {limit['period']}" if limit["period"] != "total" else f"{who} in all"
    resets_at = limit.get("resetsAt")
    resets = "never" if resets_at is None else f"in {duration(max(0, resets_at - now_ms) / 1000)}"
    if spender is None:
        return (name, bar(0), "0%", _amounts(limit, {"tokens": 0, "usd": 0.0}), "", "", resets)
    percent = spender["usedPercent"]
    return (
        name,
        bar(percent),
        f"{percent:.0f}%" + (" (used up)" if spender["state"] == "exhausted" else ""),
        _amounts(limit, spender["spent"]),
        _amounts(limit, spender["reserved"]),
        _amounts(limit, spender["left"]),
        resets,
    )


def bar(percent: float) -> str:
    """Return a bar that is filled so far; anything used shows, and only all of it fills it."""
    filled = int(BAR_WIDTH * min(100.0, percent) / 100)
    if percent > 0:
        filled = max(1, filled)
    return "#" * filled + "." * (BAR_WIDTH - filled)


def _amounts(limit: Mapping[str, Any], amount: Mapping[str, Any]) -> str:
    """Return an amount in the units that are limited."""
    shown = []
    if limit.get("tokens") is not None:
        shown.append(f"{amount['tokens']:,} tokens")
    if limit.get("usd") is not None:
        shown.append(_usd(amount["usd"]))
    return ", ".join(shown)


def _usd(amount: float) -> str:
    return f"${amount:.2f}" if amount >= 1 or amount == 0 else f"${amount:.4f}"
