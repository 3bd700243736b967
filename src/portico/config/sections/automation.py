"""`cron`: scheduled jobs.

Source: OpenClaw configuration reference, section `cron`; the limits are Portico's own.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import field_validator

from portico.config.durations import parse_duration_ms
from portico.config.sections.base import Section, group, setting


class RunLog(Section):
    """The history of runs."""

    not_used: ClassVar[frozenset[str]] = frozenset({"maxBytes"})

    keep_lines: int = setting(2_000, "Runs that are kept per job.", ge=1, le=1_000_000)


class Cron(Section):
    """Scheduled jobs."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        store webhook webhookToken webhookSsrfPolicy failureAlert failureDestination retry triggers
        criticLoop
        """.split()
    )

    enabled: bool = setting(True, "Whether jobs run by themselves; by hand they always can.")
    timezone: str = setting("UTC", "IANA time zone of cron expressions that name none.")
    max_jobs: int = setting(1_000, "How many jobs there may be.", ge=1, le=100_000)
    min_interval_ms: int = setting(1_000, "The least time between two slots of a job.", ge=1)
    max_concurrent_runs: int = setting(
        8, "Runs of jobs that are open at a time; further due ones wait.", ge=1, le=10_000
    )
    skip_missed_jobs: bool = setting(
        False,
        "What becomes of slots that were missed, for jobs that do not say: false, they run once, "
        "late; true, they do not run.",
    )
    misfire_grace_ms: int = setting(
        60_000, "How late a slot may be and still be in time, for jobs that skip.", ge=0
    )
    max_catch_up: int = setting(
        100,
        "Missed slots that run one by one, for jobs that run all; older ones do not.",
        ge=1,
        le=1_000,
    )
    max_consecutive_errors: int = setting(
        10, "Failures in a row after which a job is switched off; 0: never.", ge=0
    )
    session_retention: str | Literal[False] = setting(
        "24h", "How long sessions of isolated runs are kept after their end; false: for ever."
    )
    run_log: RunLog = group(RunLog, "The history of runs.")

    @field_validator("session_retention")
    @classmethod
    def _readable(cls, value: Any) -> Any:
        if value is not False:
            parse_duration_ms(value, unit="h")
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(value)
        except (LookupError, ValueError, OSError):
            raise ValueError(f"unknown time zone: {value[:80]!r}") from None
        return value

    @property
    def session_retention_ms(self) -> int | None:
        """How long sessions of isolated runs are kept; `None`: for ever."""
        kept = self.session_retention
        return None if kept is False else parse_duration_ms(kept, unit="h") or None
