"""Who is notified, of what, and how much is said.

Source: OpenClaw gateway protocol, "push.web.*".
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

Detail = Literal["private", "identified", "detailed"]
Topic = Literal[
    "approval_requested",
    "agent_finished",
    "agent_question",
    "human_mentioned",
    "scheduled_task_failed",
    "background_task_failed",
]
Minute = Annotated[int, msgspec.Meta(ge=0, le=1439)]
AgentId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class Categories(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What somebody is notified of."""

    approval_requested: bool = True
    agent_finished: bool = True
    agent_question: bool = True
    human_mentioned: bool = False
    scheduled_task_failed: bool = True
    background_task_failed: bool = False


class SomeCategories(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The same where only some are said."""

    approval_requested: bool | None = None
    agent_finished: bool | None = None
    agent_question: bool | None = None
    human_mentioned: bool | None = None
    scheduled_task_failed: bool | None = None
    background_task_failed: bool | None = None


class QuietHours(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """When nothing is sent: from one minute of the day until before another."""

    enabled: bool = False
    start_minute: Minute = 22 * 60
    end_minute: Minute = 7 * 60
    time_zone: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] = "UTC"

    def holds(self, now_ms: int) -> bool:
        """Whether it is quiet now."""
        if not self.enabled or self.start_minute == self.end_minute:
            return False
        now = datetime.fromtimestamp(now_ms / 1000, zone(self.time_zone))
        minute = now.hour * 60 + now.minute
        if self.start_minute < self.end_minute:
            return self.start_minute <= minute < self.end_minute
        return minute >= self.start_minute or minute < self.end_minute


class Preferences(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What holds for all browsers. No agents: all of them."""

    categories: Categories = Categories()
    detail_level: Detail = "identified"
    quiet_hours: QuietHours = QuietHours()
    agent_ids: Annotated[tuple[AgentId, ...], msgspec.Meta(max_length=128)] = ()


class DevicePreferences(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """What holds for one browser; what is not said holds as for all."""

    enabled: bool = msgspec.field(default=True)
    label: Annotated[str, msgspec.Meta(max_length=80)] = ""
    categories: SomeCategories | None = None
    detail_level: Detail | None = None
    quiet_hours: QuietHours | None = None
    agent_ids: Annotated[tuple[AgentId, ...], msgspec.Meta(max_length=128)] | None = None


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """One browser.

    Attributes:
        p256dh, auth: what messages to it are sealed with; base64url.
        device_id: the device it came with; when that is removed, it hears nothing more.
    """

    subscription_id: str
    endpoint: str
    p256dh: str
    auth: str
    created_at: int
    device_id: str | None = None
    preferences: DevicePreferences = DevicePreferences()


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened.

    Attributes:
        title, body: without a name of anything.
        subject: whom it is about: an agent, a job.
        text: what was said or asked.
        tag: a later notice with it takes its place.
    """

    topic: Topic
    title: str
    body: str
    subject: str = ""
    text: str = ""
    agent_id: str | None = None
    session_key: str | None = None
    tag: str = ""


def effective(common: Preferences, own: DevicePreferences) -> Preferences:
    """Return what holds for a browser."""
    said = msgspec.structs.asdict(own.categories) if own.categories else {}
    categories = msgspec.structs.replace(
        common.categories, **{name: value for name, value in said.items() if value is not None}
    )
    return Preferences(
        categories=categories,
        detail_level=own.detail_level or common.detail_level,
        quiet_hours=own.quiet_hours or common.quiet_hours,
        agent_ids=common.agent_ids if own.agent_ids is None else own.agent_ids,
    )


def wants(common: Preferences, own: DevicePreferences, notice: Notice, *, now_ms: int) -> bool:
    """Whether a browser is to be notified."""
    held = effective(common, own)
    return (
        own.enabled
        and bool(getattr(held.categories, notice.topic))
        and not held.quiet_hours.holds(now_ms)
        and (not held.agent_ids or notice.agent_id in held.agent_ids)
    )


def zone(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        ValueError: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"unknown time zone: {name}") from error
