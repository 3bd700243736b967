"""How an agent's heart beats; pure.

Source: OpenClaw configuration reference, `agents.defaults.heartbeat`; gateway protocol, event
`heartbeat`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from portico.automation.cron.schedule import find_zone

Status = Literal["sent", "ok-empty", "ok-token", "skipped", "failed"]
_MINUTES_OF_A_DAY = 1_440


@dataclass(frozen=True, slots=True)
class ActiveHours:
    """From the first minute of the day to before the last; over midnight when that is earlier.

    Attributes:
        start, end: minutes after midnight, by the clock on the wall of `zone`; the same: never.
        zone: an IANA name; `None`: this machine's.
    """

    start: int
    end: int
    zone: str | None

    def hold(self, now_ms: int) -> bool:
        """Whether it is one of them."""
        zone = None if self.zone is None else find_zone(self.zone)
        local = (_EPOCH + timedelta(milliseconds=now_ms)).astimezone(zone)
        minute = local.hour * 60 + local.minute
        if self.start <= self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


_EPOCH = datetime.fromtimestamp(0, UTC)


def minute_of_day(text: str) -> int:
    """Return the minutes after midnight of `HH:MM`."""
    hours, _, minutes = text.partition(":")
    return min(int(hours) * 60 + int(minutes), _MINUTES_OF_A_DAY)


@dataclass(frozen=True, slots=True)
class HeartbeatSettings:
    """How one agent looks around.

    Attributes:
        session_key: where it happens.
        target: `last`, `none`, or a channel; then `to` and `account_id` say whom.
        ack_max_chars: how much may stand beside the token for an answer to be quiet.
    """

    every_ms: int
    every: str
    prompt: str
    session_key: str
    target: str = "last"
    to: str | None = None
    account_id: str | None = None
    model: str | None = None
    timeout_s: float | None = None
    ack_max_chars: int = 300
    active_hours: ActiveHours | None = None


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a heartbeat came to: the event's payload. Times in ms."""

    ts: int
    status: Status
    agent_id: str | None = None
    preview: str | None = None
    duration_ms: int | None = None
    reason: str | None = None
    channel: str | None = None
    to: str | None = None
    account_id: str | None = None
    silent: bool | None = None
    indicator_type: Literal["ok", "alert", "error"] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as the wire shows it."""
        shown: dict[str, Any] = msgspec.to_builtins(self)
        return shown
