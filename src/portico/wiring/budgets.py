"""From the configuration to budgets that follow it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from portico.budgets.model import Amount, Limit, Plan, nano
from portico.budgets.service import Budgets
from portico.clock import Clock
from portico.observe.metrics import Metrics
from portico.protocol import keys
from portico.store import Store

if TYPE_CHECKING:
    from portico.config.live import Commit, LiveConfig
    from portico.config.model import PorticoConfig
    from portico.config.sections.budgets import BudgetLimit
    from portico.config.service import LoadedConfig


def build_budgets(live: LiveConfig, *, store: Store, clock: Clock, metrics: Metrics) -> Budgets:
    """Construct the configured budgets, and let them follow the configuration."""
    plan = budget_plan(live.loaded.require())
    budgets = Budgets(store=store, clock=clock, plan=plan, metrics=metrics)

    def stage(new: LoadedConfig) -> Commit:
        planned = budget_plan(new.require())

        def commit() -> None:
            budgets.plan = planned

        return commit

    live.follow("budgets", stage=stage)
    return budgets


def budget_plan(config: PorticoConfig) -> Plan:
    """Return the budgets of a configuration."""
    given = config.budgets
    return Plan(
        limits=tuple(_limit(limit, config) for limit in given.limits),
        estimate=Amount(given.estimate_tokens, nano(given.estimate_usd)),
        reservation_ms=given.reservation_seconds * 1000,
    )


def _limit(given: BudgetLimit, config: PorticoConfig) -> Limit:
    return Limit(
        scope=given.scope,
        id=None if given.id is None else _subject(given, given.id, config),
        period=given.period,
        zone=ZoneInfo(given.time_zone),
        tokens=given.tokens,
        nano_usd=None if given.usd is None else nano(given.usd),
        warn_at=given.warn_at,
    )


def _subject(given: BudgetLimit, name: str, config: PorticoConfig) -> str:
    """Return an id as turns have it."""
    if given.scope == "agent":
        return keys.normalize_agent_id(name)
    if given.scope == "session":
        default, main_key = config.agents.default_id(), config.session.main_key
        return keys.canonical(name, default_agent=default, main_key=main_key)
    return name
