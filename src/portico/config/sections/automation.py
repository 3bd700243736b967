"""`cron` and `agents.*.heartbeat`: what the gateway does by itself.

Source: OpenClaw configuration reference, `cron` and `agents.defaults.heartbeat`; the limits are
Portico's own.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import field_validator

from portico.config.durations import parse_duration_ms
from portico.config.sections.base import Section, group, setting

_TIME_OF_DAY = r"^([01]?\d|2[0-3]):[0-5]\d$|^24:00$"


def known_zone(value: str | None) -> str | None:
    """Check a time zone's name."""
    from zoneinfo import ZoneInfo

    if value is None:
        return None
    try:
        ZoneInfo(value)
    except (LookupError, ValueError, OSError):
        raise ValueError(f"unknown time zone: {value[:80]!r}") from None
    return value


class ActiveHours(Section):
    """The hours of the day in which an agent's heart beats."""

    start: str = setting("00:00", "First minute, HH:MM.", reload="hot", pattern=_TIME_OF_DAY)
    end: str = setting(
        "24:00",
        "First minute after, HH:MM up to 24:00; before the start: on the next day; the same as the "
        "start: never.",
        reload="hot",
        pattern=_TIME_OF_DAY,
    )
    timezone: str | None = setting(
        None,
        "IANA time zone; local: this machine's; unset or user: cron.timezone.",
        reload="hot",
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        return value if value in {"local", "user"} else known_zone(value)


class Heartbeat(Section):
    """A look around now and then, without anybody asking."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        directPolicy includeReasoning includeSystemPromptSection isolatedSession lightContext
        skipWhenBusy suppressToolErrorWarnings
        """.split()
    )

    every: str = setting("30m", "How often; 0m: never.", reload="hot")
    prompt: str = setting(
        "Look around: read HEARTBEAT.md if there is one, and do what it says. Do not take up old "
        "tasks again. If nothing needs attention, answer HEARTBEAT_OK.",
        "What the agent is asked.",
        reload="hot",
        min_length=1,
    )
    active_hours: ActiveHours | None = setting(None, "When; unset: day and night.", reload="hot")
    target: str = setting(
        "last",
        "Where an answer that is not quiet goes: last, where the last message came from; none, "
        "nowhere but into the session; or a channel.",
        reload="hot",
        min_length=1,
    )
    to: str | None = setting(None, "The chat's id, of a channel.", reload="hot")
    account_id: str | None = setting(None, "Account of the channel.", reload="hot")
    model: str | None = setting(None, "Model as provider/name.", reload="hot")
    timeout_seconds: float | None = setting(
        None, "Longest run; unset: as the agent's turns.", reload="hot", gt=0
    )
    session: str = setting("main", "The session it happens in.", reload="hot", min_length=1)
    ack_max_chars: int = setting(
        300, "Characters beside HEARTBEAT_OK up to which an answer is quiet.", reload="hot", ge=0
    )

    @field_validator("every")
    @classmethod
    def _readable(cls, value: str) -> str:
        parse_duration_ms(value, unit="m")
        return value

    @property
    def every_ms(self) -> int:
        """How often; 0: never."""
        return parse_duration_ms(self.every, unit="m")


class RunLog(Section):
    """The history of runs."""

    not_used: ClassVar[frozenset[str]] = frozenset({"maxBytes"})

    keep_lines: int = setting(
        2_000, "Runs that are kept per job.", ge=1, le=1_000_000, reload="hot"
    )


class Cron(Section):
    """Scheduled jobs."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        store webhook webhookToken webhookSsrfPolicy failureAlert failureDestination retry triggers
        criticLoop
        """.split()
    )

    enabled: bool = setting(
        True, "Whether jobs run by themselves; by hand they always can.", reload="hot"
    )
    timezone: str = setting(
        "UTC", "IANA time zone of cron expressions that name none.", reload="hot"
    )
    max_jobs: int = setting(1_000, "How many jobs there may be.", ge=1, le=100_000, reload="hot")
    min_interval_ms: int = setting(
        1_000, "The least time between two slots of a job.", ge=1, reload="hot"
    )
    max_concurrent_runs: int = setting(
        8,
        "Runs of jobs that are open at a time; further due ones wait.",
        ge=1,
        le=10_000,
        reload="hot",
    )
    skip_missed_jobs: bool = setting(
        False,
        "What becomes of slots that were missed, for jobs that do not say: false, they run once, "
        "late; true, they do not run.",
        reload="hot",
    )
    misfire_grace_ms: int = setting(
        60_000,
        "How late a slot may be and still be in time, for jobs that skip.",
        ge=0,
        reload="hot",
    )
    max_catch_up: int = setting(
        100,
        "Missed slots that run one by one, for jobs that run all; older ones do not.",
        ge=1,
        le=1_000,
        reload="hot",
    )
    max_consecutive_errors: int = setting(
        10, "Failures in a row after which a job is switched off; 0: never.", ge=0, reload="hot"
    )
    session_retention: str | Literal[False] = setting(
        "24h",
        "How long sessions of isolated runs are kept after their end; false: for ever.",
        reload="hot",
    )
    run_log: RunLog = group(RunLog, "The history of runs.")

    @field_validator("session_retention")
    @classmethod
    def _readable(cls, value: Any) -> Any:
        if value is not False:
            parse_duration_ms(value, unit="h")
        return value

    _known_zone = field_validator("timezone")(known_zone)

    @property
    def session_retention_ms(self) -> int | None:
        """How long sessions of isolated runs are kept; `None`: for ever."""
        kept = self.session_retention
        return None if kept is False else parse_duration_ms(kept, unit="h") or None
