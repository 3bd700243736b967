"""How the providers of models stand, and the budgets beside them.

The protocol has a list of providers, each with windows that fill up. Providers of models report
none to a gateway, so theirs are empty; the budgets are a provider of their own, `portico`, with one
window for each spender.

Source: OpenClaw gateway protocol, "usage.status".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from portico.agents.model.catalog import ProviderSpec
from portico.budgets.model import Limit
from portico.budgets.service import Balances
from portico.budgets.store import Standing
from portico.budgets.windows import FOREVER

BUDGETS = "portico"
BUDGETS_NAME = "Budgets"


def providers_of(
    providers: Iterable[ProviderSpec], balances: Sequence[Balances]
) -> list[dict[str, Any]]:
    """Return the list."""
    shown: list[dict[str, Any]] = [
        {"provider": spec.name, "displayName": spec.name, "windows": []} for spec in providers
    ]
    windows = [_window(one.limit, standing) for one in balances for standing in one.standings]
    if balances:
        shown.append({"provider": BUDGETS, "displayName": BUDGETS_NAME, "windows": windows})
    return shown


def _window(limit: Limit, standing: Standing) -> dict[str, Any]:
    counter = standing.counter
    name = " ".join(filter(None, (counter.scope, counter.subject)))
    window: dict[str, Any] = {
        "label": f"{name} per {limit.period}" if limit.period != "total" else f"{name} in all",
        "usedPercent": round(min(100.0, 100 * limit.share(standing.spent)), 2),
    }
    if counter.window.ends_at != FOREVER:
        window["resetAt"] = counter.window.ends_at
    return window
