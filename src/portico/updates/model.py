"""What is recorded of an update: the published shape, `UpdateRunRecord`.

Source: OpenClaw gateway protocol, Appendix A, `update`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Trigger = Literal["chat", "control-ui", "cli", "api"]
Phase = Literal[
    "requested", "staging", "validating", "activating", "restarting", "verifying", "finished"
]
Status = Literal["running", "succeeded", "failed", "rolled-back", "skipped"]


class Version(msgspec.Struct, frozen=True, rename="camel"):
    """One version of the package."""

    version: str | None = None


class Target(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What is installed."""

    kind: str = ""
    channel: str = ""
    version: str = ""


class Step(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One thing that was done."""

    step: str
    status: Literal["in_progress", "completed", "failed"]
    started_at_ms: int
    ended_at_ms: int = 0
    detail: str = ""


class UpdateRun(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One update, as far as it has come."""

    run_id: str
    created_at_ms: int
    updated_at_ms: int
    trigger: Trigger
    phase: Phase = "requested"
    status: Status = "running"
    reason: str | None = None
    origin: dict[str, Any] = {}
    target: Target = Target()
    before: Version = Version()
    after: Version = Version()
    steps: tuple[Step, ...] = ()
    verification: dict[str, Any] = {}
    repair: tuple[str, ...] = ()
    confirmed_at_ms: int | None = None
    finished_at_ms: int | None = None
    downtime_ms: int | None = None


class Available(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A newer version there is."""

    current_version: str
    latest_version: str
    channel: str
