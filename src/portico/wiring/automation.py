"""From the configuration to what the automation is built with.

Not here: what jobs and heartbeats do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portico.automation.assembly import AutomationSettings
from portico.automation.cron.assembly import CronSettings
from portico.automation.cron.life import Rules
from portico.automation.heartbeat.model import ActiveHours, HeartbeatSettings, minute_of_day
from portico.protocol import keys
from portico.wiring.hooks import hook_settings

if TYPE_CHECKING:
    from portico.config.model import PorticoConfig
    from portico.config.sections.automation import Heartbeat


def automation_settings(config: PorticoConfig) -> AutomationSettings:
    """Return what is configured of scheduled jobs, heartbeats and hooks."""
    cron = config.cron
    jobs = CronSettings(
        rules=Rules(
            zone=cron.timezone,
            policy="skip" if cron.skip_missed_jobs else "run_once",
            grace_ms=cron.misfire_grace_ms,
            max_catch_up=cron.max_catch_up,
            max_errors=cron.max_consecutive_errors,
        ),
        is_enabled=cron.enabled,
        max_jobs=cron.max_jobs,
        min_interval_ms=cron.min_interval_ms,
        max_runs=cron.max_concurrent_runs,
        keep_runs=cron.run_log.keep_lines,
        keep_sessions_ms=cron.session_retention_ms,
    )
    return AutomationSettings(jobs, heartbeat_settings(config), hook_settings(config))


def heartbeat_settings(config: PorticoConfig) -> dict[str, HeartbeatSettings]:
    """Return how each agent looks around; those that do not are not in it."""
    found = ((entry.id, config.agents.heartbeat_for(entry.id)) for entry in config.agents.roster())
    return {
        agent_id: _heartbeat(agent_id, given, config)
        for agent_id, given in found
        if given is not None and given.every_ms > 0
    }


def _heartbeat(agent_id: str, given: Heartbeat, config: PorticoConfig) -> HeartbeatSettings:
    hours = given.active_hours
    return HeartbeatSettings(
        every_ms=given.every_ms,
        every=given.every,
        prompt=given.prompt,
        session_key=keys.canonical(
            given.session, default_agent=agent_id, main_key=config.session.main_key
        ),
        target=given.target,
        to=given.to,
        account_id=given.account_id,
        model=given.model,
        timeout_s=given.timeout_seconds,
        ack_max_chars=given.ack_max_chars,
        active_hours=None
        if hours is None
        else ActiveHours(
            start=minute_of_day(hours.start),
            end=minute_of_day(hours.end),
            zone=_zone(hours.timezone, config.cron.timezone),
        ),
    )


def _zone(given: str | None, usual: str) -> str | None:
    if given == "local":
        return None
    return usual if given in {None, "user"} else given
